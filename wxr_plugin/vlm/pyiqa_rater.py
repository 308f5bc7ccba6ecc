"""Rating by a no-reference metric of pyiqa: its score, mapped to [1, 5]."""

import hashlib
import logging
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from wxr_plugin.errors import WxrError
from wxr_plugin.schema import AtLeastOne, Block
from wxr_plugin.vlm.catalog import read_data
from wxr_plugin.vlm.inputs import Images, to_uint8
from wxr_plugin.vlm.loading import device_of
from wxr_plugin.vlm.rater import Ratings, finite_images
from wxr_plugin.vlm.registries import RATER_REGISTRY

MAP_VERSION = 1
"""Goes up when the same scores would become other ratings than before."""


class PyiqaRaterOptions(Block):
    """Options of a metric of pyiqa that rates images."""

    type: Literal["PyiqaRater"]
    """Class that rates."""
    metric: str
    """Name of the metric in pyiqa, such as musiq, clipiqa, liqe or qalign."""
    weights: str | None = None
    """File with the metric's weights; pyiqa's own, fetched once, when absent."""
    range: tuple[float, float] | None = None
    """Scores that are told apart, the lower first; the metric's range of vlm/metrics.yml when absent."""
    batch_size: AtLeastOne = 8
    """Images of one size in one call."""
    device: str | None = None
    """cpu, cuda, cuda:1, …; the GPU if there is one when absent."""

    def __post_init__(self) -> None:
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"range {list(self.range)} is empty; write the lower score first")


def rating_from_score(score: Tensor, low: float, high: float, lower_better: bool = False) -> Tensor:
    """1 + 4 (score - low) / (high - low), clipped to [1, 5], or 6 minus that where lower is better. Our choice.

    Of any shape; NaN where the score is not finite.
    """
    share = ((score - low) / (high - low)).clamp(0, 1)
    share = 1 - share if lower_better else share
    return (1 + 4 * share).masked_fill(~score.isfinite(), torch.nan)


@RATER_REGISTRY.register()
class PyiqaRater:
    """Rates with a no-reference metric of pyiqa. It has no logits; an image that the metric refuses has no rating."""

    Options = PyiqaRaterOptions

    def __init__(self, options: PyiqaRaterOptions):
        from wxr_plugin.vlm.pyiqa_metrics import check_name, load_metric

        check_name(options.metric)
        self.name, self.weights, self.batch_size = options.metric, options.weights, options.batch_size
        known = read_data("metrics.yml")["metrics"].get(options.metric, {})
        if options.range is None and "range" not in known:
            raise WxrError(f"the metric '{options.metric}' has no range in vlm/metrics.yml; give `range: [LOW, HIGH]`")
        self.low, self.high = options.range or known["range"]
        self.min_side = known.get("min_side", 1)
        self.metric = load_metric(options.metric, options.weights, device_of(options.device))
        self.lower_better = bool(self.metric.lower_better)
        self._alone = False
        ends = "5 to 1" if self.lower_better else "1 to 5"
        _say(f"{self.name}: scores from {self.low:g} to {self.high:g} become ratings from {ends}")

    def rate(self, images: Tensor | list[np.ndarray]) -> Ratings:
        """Ratings of float RGB (N, 3, H, W) in [0, 1], or of a list of uint8 RGB arrays (H, W, 3); logits are NaN."""
        pixels = to_uint8(images)
        scores = torch.full((len(pixels),), torch.nan)
        for rows in self._batches(pixels):
            scores[rows] = self._scores(torch.stack([self._enlarged(pixels[row]) for row in rows]))
        scores[~finite_images(images)] = torch.nan
        rating = rating_from_score(scores, self.low, self.high, self.lower_better)
        return Ratings(rating, torch.full((len(pixels), 5), torch.nan))

    @property
    def provenance(self) -> dict[str, Any]:
        """All that a rating depends on, in plain types."""
        own = {"type": type(self).__name__, "maths": MAP_VERSION, "metric": self.name, "pyiqa": version("pyiqa")}
        weights = _digest(self.weights) if self.weights else "pyiqa's own"
        return {**own, "weights": weights, "range": [self.low, self.high], "min_side": self.min_side}

    def _batches(self, pixels: Images) -> Iterator[list[int]]:
        """Rows of images of one size, at most `batch_size` at a time."""
        for shape in dict.fromkeys(image.shape for image in pixels):
            rows = [row for row, image in enumerate(pixels) if image.shape == shape]
            yield from (rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size))

    def _enlarged(self, image: Tensor) -> Tensor:
        image, side = image.float() / 255, min(image.shape[1:])
        if side >= self.min_side:
            return image
        _say(f"{self.name}: images with a side below {self.min_side} are enlarged to it")
        size = [round(length * self.min_side / side) for length in image.shape[1:]]
        return torch.nn.functional.interpolate(image[None], size, mode="bicubic", antialias=True)[0].clamp(0, 1)

    def _scores(self, batch: Tensor) -> Tensor:
        """The metric's scores (N,); NaN for an image that it refuses."""
        if self._alone and len(batch) > 1:
            return torch.cat([self._scores(image) for image in batch.split(1)])
        try:
            with torch.no_grad(), torch.autocast(batch.device.type, enabled=False):
                return self.metric(batch).detach().float().cpu().reshape(len(batch))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a metric makes of an image that is too small or too plain for it
            if len(batch) > 1:
                self._alone = True  # some metrics take one image at a time
                return self._scores(batch)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            _say(f"{self.name} gives no score for an image of {batch.shape[3]}x{batch.shape[2]}: {reason}")
            return torch.full((1,), torch.nan)


@lru_cache
def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


@lru_cache
def _say(message: str) -> None:
    """To the log, once a process."""
    logging.getLogger("basicsr").warning(message)
