"""Scores of a no-reference metric of pyiqa for images of any sizes."""

import logging
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wxr_plugin.utils.devices import device_of
from wxr_plugin.vlm.catalog import read_data
from wxr_plugin.vlm.fetch import first_line
from wxr_plugin.vlm.inputs import Images, batches, to_uint8
from wxr_plugin.vlm.pyiqa_metrics import check_name, load_metric
from wxr_plugin.vlm.rater import finite_images


class PyiqaScores:
    """A metric of pyiqa with its own scale of scores.

    Args:
        name: name of the metric in pyiqa: musiq, clipiqa, liqe, …
        weights: file with the weights of the metric; by default pyiqa's own, downloaded once.
        device: cpu, cuda, …; by default the GPU if there is one.
        batch_size: number of images of one size in one call.

    Raises:
        WxrError: the metric is unknown, or its weights are missing or do not fit.
    """

    def __init__(
        self, name: str, weights: str | None = None, device: str | None = None, batch_size: int = 8
    ):
        check_name(name)
        self.name, self.batch_size = name, batch_size
        entry = read_data("metrics.yml")["metrics"].get(name, {})
        self.min_side = entry.get("min_side", 1)
        self.metric = load_metric(name, weights, device_of(device))
        self.lower_better = bool(self.metric.lower_better)
        self._one_at_a_time = False
        """Whether the metric failed on a batch, so that images are scored one at a time."""

    def __call__(self, images: Tensor | list[np.ndarray]) -> Tensor:
        """Return the scores (N,) of images; NaN where the metric refuses an image.

        Images with a side below the smallest of the metric are enlarged.

        Args:
            images: float RGB (N, 3, H, W) in [0, 1], or a list of uint8 RGB arrays (H, W, 3).
        """
        pixels = to_uint8(images)
        scores = torch.full((len(pixels),), torch.nan)
        for rows in self._batches(pixels):
            batch = [self._enlarged(pixels[row]) for row in rows]
            scores[rows] = self._scores(torch.stack(batch))
        # to_uint8 turns NaN into 0, which would have a score.
        scores[~finite_images(images)] = torch.nan
        return scores

    def _batches(self, pixels: Images) -> Iterator[list[int]]:
        """Yield rows of images of one size, at most `batch_size` at a time."""
        for shape in dict.fromkeys(image.shape for image in pixels):
            rows = [row for row, image in enumerate(pixels) if image.shape == shape]
            yield from batches(rows, self.batch_size)

    def _enlarged(self, image: Tensor) -> Tensor:
        image = image.float() / 255
        side = min(image.shape[1:])
        if side >= self.min_side:
            return image
        log_once(f"{self.name}: images with a side below {self.min_side} are enlarged to it")
        size = [round(length * self.min_side / side) for length in image.shape[1:]]
        enlarged = F.interpolate(image[None], size, mode="bicubic", antialias=True)
        return enlarged[0].clamp(0, 1)

    def _scores(self, batch: Tensor) -> Tensor:
        """Return the scores (N,) of a batch (N, 3, H, W) in [0, 1], on the CPU."""
        if self._one_at_a_time and len(batch) > 1:
            return torch.cat([self._scores(image) for image in batch.split(1)])
        try:
            with torch.no_grad(), torch.autocast(batch.device.type, enabled=False):
                scores = self.metric(batch).detach().float().cpu()
            return scores.reshape(len(batch))
        except torch.OutOfMemoryError:
            raise
        # Metrics raise all kinds of errors for images that are too small or too uniform.
        except Exception as error:
            if len(batch) > 1:
                self._one_at_a_time = True
                return self._scores(batch)
            height, width = batch.shape[2:]
            log_once(
                f"{self.name} gives no score for an image of {width}x{height}: {first_line(error)}"
            )
            return torch.full((1,), torch.nan)


@lru_cache
def log_once(message: str) -> None:
    """Log `message` once per process, as a warning."""
    logging.getLogger("basicsr").warning(message)
