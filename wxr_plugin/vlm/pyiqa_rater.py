"""Rater that maps the score of a no-reference metric of pyiqa to [1, 5]."""

import hashlib
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from wxr_plugin.errors import WxrError
from wxr_plugin.hub import fetched_file
from wxr_plugin.schema import AtLeastOne, Block
from wxr_plugin.vlm.catalog import read_data
from wxr_plugin.vlm.rater import Ratings
from wxr_plugin.vlm.registries import RATER_REGISTRY

MAP_VERSION = 1
"""Version of the mapping from scores to ratings."""


class PyiqaRaterOptions(Block):
    """Options of a rater that uses a metric of pyiqa."""

    type: Literal["PyiqaRater"]
    """Class of the rater."""
    metric: str
    """Name of the metric in pyiqa, such as musiq, clipiqa, liqe or qalign."""
    weights: str | None = None
    """File with the weights of the metric; by default pyiqa's own, downloaded once."""
    range: tuple[float, float] | None = None
    """Scores that become ratings 1 and 5, the lower first; default: vlm/metrics.yml."""
    batch_size: AtLeastOne = 8
    """Number of images of one size in one call."""
    device: str | None = None
    """cpu, cuda, cuda:1, …; default: the GPU if there is one."""

    def __post_init__(self) -> None:
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"range {list(self.range)} is empty; write the lower score first")


def rating_from_score(score: Tensor, low: float, high: float, lower_better: bool = False) -> Tensor:
    """Return 1 + 4 (score - low) / (high - low), clipped to [1, 5], as rating of any shape.

    If lower scores are better, the result is 6 minus that (our choice). It is NaN where the score
    is not finite.
    """
    share = ((score - low) / (high - low)).clamp(0, 1)
    share = 1 - share if lower_better else share
    return (1 + 4 * share).masked_fill(~score.isfinite(), torch.nan)


@RATER_REGISTRY.register()
class PyiqaRater:
    """Rater with a no-reference metric of pyiqa.

    It has no logits, and an image that the metric refuses has no rating.
    """

    Options = PyiqaRaterOptions

    def __init__(self, options: PyiqaRaterOptions):
        from wxr_plugin.vlm.pyiqa_scores import PyiqaScores, log_once

        self.name = options.metric
        self.weights = str(fetched_file(options.weights)) if options.weights else None
        entry = read_data("metrics.yml")["metrics"].get(options.metric, {})
        self.scores = PyiqaScores(options.metric, self.weights, options.device, options.batch_size)
        if options.range is None and "range" not in entry:
            raise WxrError(
                f"the metric '{options.metric}' has no range in vlm/metrics.yml; give "
                "`range: [LOW, HIGH]`"
            )
        self.low, self.high = options.range or entry["range"]
        ends = "5 to 1" if self.scores.lower_better else "1 to 5"
        log_once(
            f"{self.name}: scores from {self.low:g} to {self.high:g} become ratings from {ends}"
        )

    def rate(self, images: Tensor | list[np.ndarray]) -> Ratings:
        """Return the ratings (N,) of images; logits are NaN.

        Args:
            images: float RGB (N, 3, H, W) in [0, 1], or a list of uint8 RGB arrays (H, W, 3).
        """
        scores = self.scores(images)
        rating = rating_from_score(scores, self.low, self.high, self.scores.lower_better)
        return Ratings(rating, torch.full((len(scores), 5), torch.nan))

    @property
    def provenance(self) -> dict[str, Any]:
        """Return everything that a rating depends on, in plain types."""
        return {
            "type": type(self).__name__,
            "maths": MAP_VERSION,
            "metric": self.name,
            "pyiqa": version("pyiqa"),
            "weights": _digest(self.weights) if self.weights else "pyiqa's own",
            "range": [self.low, self.high],
            "min_side": self.scores.min_side,
        }


@lru_cache
def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return f"sha256:{digest.hexdigest()}"
