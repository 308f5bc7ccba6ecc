"""Images that are, or may become, a pseudo-label, and what a rater is asked about them."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wxr_plugin.vlm.inputs import to_uint8

TEACHER = "teacher@"


class Candidate(NamedTuple):
    """An image that is, or may become, the pseudo-label of `key`."""

    key: str
    image: np.ndarray
    """uint8 RGB (H, W, 3)."""
    source: str
    """ "input", "teacher@<iteration>", or whatever the store was filled from."""
    rating: float | None = None
    """In [1, 5]; None until the rater of this run has seen the image."""
    trust: float = 1.0
    """What counts where `rating` is None: the rating of whoever stored it, else 1."""


class Question(NamedTuple):
    """What the rater is asked about one crop: is the offered image better than its label?"""

    label: Candidate
    """The pseudo-label so far; rated along where this rater has not seen it."""
    offered: Candidate | None
    """The teacher's image; None where it was not finite."""
    rival: Candidate | None = None
    """The student's image, which the offered one has to beat as well (`gate: strict`)."""
    features: Tensor | None = None
    """CLIP features (D,) of the offered image, for the proxy."""
    chance: float = 1.0
    """The proxy's chance that the offered image wins."""

    @property
    def key(self) -> str:
        """Of the crop."""
        return self.label.key

    def unrated(self) -> list[np.ndarray]:
        """The images to rate, in the order in which `answered` wants their ratings."""
        return [each.image for each in self[:3] if each is not None and each.rating is None]

    def answered(self, ratings: Iterable[float]) -> "Question":
        """This question with the ratings of `unrated`; NaN leaves an image unrated."""
        ratings = iter(ratings)
        return self._replace(
            **{name: _rated(getattr(self, name), ratings) for name in self._fields[:3]}
        )

    def valid(self) -> list[Candidate]:
        """Of an answered question, the images that may be the label: none unless the label itself has a rating."""
        if self.label.rating is None:
            return []
        return [self.label, *([self.offered] if self._beats_rival() else [])]

    def _beats_rival(self) -> bool:
        if self.offered is None or self.offered.rating is None:
            return False
        return self.rival is None or (
            self.rival.rating is not None and self.offered.rating > self.rival.rating
        )


def is_better(candidate: Candidate, stored: Candidate | None, margin: float = 0.0) -> bool:
    """WResVLM's gate: a rated candidate replaces a stored one only if its rating is higher, or if there is none.

    Higher by more than `margin`, which is ours and may be below 0; the paper has none.
    """
    return stored is None or stored.rating is None or candidate.rating > stored.rating + margin


def to_arrays(images: Tensor) -> list[np.ndarray]:
    """Images (N, 3, H, W) in [0, 1] as uint8 RGB (H, W, 3)."""
    return [image.permute(1, 2, 0).contiguous().numpy() for image in to_uint8(images)]


def from_array(image: np.ndarray) -> Tensor:
    """uint8 RGB (H, W, 3) as float32 (3, H, W) in [0, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def _rated(candidate: Candidate | None, ratings: Iterable[float]) -> Candidate | None:
    if candidate is None or candidate.rating is not None:
        return candidate
    rating = next(ratings)
    return candidate._replace(rating=rating) if rating == rating else candidate
