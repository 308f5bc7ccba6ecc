"""Interface of raters, which rate images in [1, 5], and WResVLM's rating (arXiv 2409.02101)."""

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from wxr_plugin.utils.rating_words import RATING_WORDS as RATING_WORDS
from wxr_plugin.vlm.registries import build

MATHS_VERSION = 1
"""Version of the computation of ratings; a change invalidates stored ratings."""


class Ratings(NamedTuple):
    """Ratings of N images on the CPU; NaN where an image could not be rated."""

    rating: torch.Tensor
    """(N,), in [1, 5]."""
    logits: torch.Tensor
    """(N, 5), logits of RATING_WORDS; NaN for a rater without logits."""


class Rater(Protocol):
    """Interface of the classes in RATER_REGISTRY."""

    def rate(self, images: torch.Tensor | list[np.ndarray]) -> Ratings:
        """Return the ratings (N,) of images; NaN where the answer is not usable.

        Args:
            images: float RGB (N, 3, H, W) in [0, 1], or a list of uint8 RGB arrays (H, W, 3).

        Raises:
            WxrError: the rater as a whole does not work.
        """

    @property
    def provenance(self) -> dict[str, Any]:
        """Return everything that a rating depends on, in plain types."""


def rating_from_logits(logits: torch.Tensor) -> torch.Tensor:
    """Return the expected rating sum(p * (5, 4, 3, 2, 1)), p the softmax over the five words.

    As in WResVLM's rating script. `logits` is (…, 5) in the order of RATING_WORDS; the result (…,)
    is in [1, 5], and NaN where a logit is not finite.
    """
    scores = torch.arange(5, 0, -1, dtype=logits.dtype, device=logits.device)
    rating = (logits.softmax(-1) * scores).sum(-1)
    return rating.masked_fill(~logits.isfinite().all(-1), torch.nan)


def finite_images(images: torch.Tensor | list[np.ndarray]) -> torch.Tensor:
    """Return for each image whether all values are finite: (N,), bool, on the CPU."""
    if isinstance(images, torch.Tensor):
        return images.detach().isfinite().flatten(1).all(1).cpu()
    return torch.ones(len(images), dtype=torch.bool)


def build_rater(opt: dict[str, Any] | None = None) -> Rater:
    """Return the rater of a block of options.

    The default is the packaged tiny model with the visibility prompt.

    Raises:
        WxrError: an unknown type, key, model or prompt, or a model that cannot be loaded.
    """
    return build("rater", opt)
