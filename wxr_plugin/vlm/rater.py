"""Rating an image in [1, 5]: by a vision-language model (WResVLM, arXiv 2409.02101) or by anything else that judges."""

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from wxr_plugin.vlm.registries import build

RATING_WORDS = ("excellent", "good", "fair", "poor", "bad")
MATHS_VERSION = 1
"""Goes up when the same model would give other ratings than before, so that stored ones are not reused."""


class Ratings(NamedTuple):
    """Ratings of N images on the CPU; NaN where an image could not be rated."""

    rating: torch.Tensor
    """(N,) in [1, 5]."""
    logits: torch.Tensor
    """(N, 5), of RATING_WORDS; NaN from a rater that has none."""


class Rater(Protocol):
    """What `build_rater` gives."""

    def rate(self, images: torch.Tensor | list[np.ndarray]) -> Ratings:
        """Ratings of float RGB (N, 3, H, W) in [0, 1], or of a list of uint8 RGB arrays (H, W, 3).

        An image without a usable answer gets NaN. WxrError only if the rater as a whole does not
        work.
        """

    @property
    def provenance(self) -> dict[str, Any]:
        """All that a rating depends on, in plain types."""


def rating_from_logits(logits: torch.Tensor) -> torch.Tensor:
    """The expected rating, sum of p (5, 4, 3, 2, 1) with p the softmax over the five words.

    `logits` is (…, 5) in the order of RATING_WORDS; the result (…,) lies in [1, 5] and is NaN where
    a logit is not finite. As in WResVLM's rating script.
    """
    scores = torch.arange(5, 0, -1, dtype=logits.dtype, device=logits.device)
    rating = (logits.softmax(-1) * scores).sum(-1)
    return rating.masked_fill(~logits.isfinite().all(-1), torch.nan)


def finite_images(images: torch.Tensor | list[np.ndarray]) -> torch.Tensor:
    """(N,) bool on the CPU: which images hold no NaN and no infinity."""
    if isinstance(images, torch.Tensor):
        return images.detach().isfinite().flatten(1).all(1).cpu()
    return torch.ones(len(images), dtype=torch.bool)


def build_rater(opt: dict[str, Any] | None = None) -> Rater:
    """The rater that a `rater` block describes; the packaged tiny model with the visibility prompt without one.

    Raises:
        WxrError: an unknown type, key, model or prompt, or a model that cannot be loaded.
    """
    return build("rater", opt)
