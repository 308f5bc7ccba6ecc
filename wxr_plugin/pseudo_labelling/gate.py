"""Candidates for a pseudo-label, requests for their ratings, and the gate that compares them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wxr_plugin.labels.rows import TEACHER
from wxr_plugin.pseudo_labelling.rating_view import View
from wxr_plugin.vlm.inputs import to_uint8
from wxr_plugin.vlm.rater import Ratings


class ImageRating(NamedTuple):
    """The rating of one image."""

    rating: float
    """In [1, 5]; NaN if the image could not be rated."""
    logits: tuple[float, ...]
    """Of the five RATING_WORDS; NaN from a rater that has none."""


class Candidate(NamedTuple):
    """An image that is, or may become, the pseudo-label of `key`."""

    key: str
    image: np.ndarray
    """uint8 RGB (H, W, 3)."""
    source: str
    """ "input", "teacher@<iteration>", or the source that the store names."""
    rating: float | None = None
    """In [1, 5]; None until the rater of this run has seen the image."""
    trust: float = 1.0
    """Weight where `rating` is None: the rating that the store holds by another rater, else 1."""
    logits: tuple[float, ...] = ()
    """The logits behind `rating` if this run rated the image, empty otherwise."""
    rater: str = ""
    """`rating_view.rater_name` of whoever gives `rating`."""


class RatingRequest(NamedTuple):
    """The images of one crop that the rater shall rate, to find out which is the better label."""

    label: Candidate
    """The current pseudo-label; rated as well if this rater has not seen it yet."""
    offered: Candidate | None
    """The teacher's image; None where it was not finite."""
    rival: Candidate | None = None
    """The student's image, which the offered one has to beat as well (`gate: strict`)."""
    features: Tensor | None = None
    """CLIP features (D,) of the offered image, for the proxy."""
    chance: float = 1.0
    """The proxy's estimate of the probability that the offered image wins."""
    view: View = View()
    """How all of them are shown to the rater."""

    @property
    def key(self) -> str:
        """Name of the crop."""
        return self.label.key

    @property
    def candidates(self) -> tuple[Candidate | None, ...]:
        """Label, offered image and rival."""
        return self.label, self.offered, self.rival

    def unrated(self) -> list[np.ndarray]:
        """Return the pictures of images without a rating, in the order of `with_ratings`."""
        waiting = [candidate for candidate in self.candidates if _is_unrated(candidate)]
        views = [self.view.pictures(candidate.image) for candidate in waiting]
        return list(chain.from_iterable(views))

    def with_ratings(self, ratings: Iterable[ImageRating]) -> "RatingRequest":
        """Return this request with the ratings of `unrated`; NaN leaves an image unrated."""
        means = _means(iter(ratings), self.view.count)
        label, offered, rival = (_rated(candidate, means) for candidate in self.candidates)
        return self._replace(label=label, offered=offered, rival=rival)

    def valid(self) -> list[Candidate]:
        """Return the images of a rated request that may be the label; none if the label is unrated.

        An unrated label cannot be compared, so nothing may replace it.
        """
        if self.label.rating is None:
            return []
        return [self.label, self.offered] if self._beats_rival() else [self.label]

    def _beats_rival(self) -> bool:
        # The rival only raises the bar; it never becomes a label itself.
        if self.offered is None or self.offered.rating is None:
            return False
        if self.rival is None:
            return True
        return self.rival.rating is not None and self.offered.rating > self.rival.rating


def is_better(candidate: Candidate, stored: Candidate | None, margin: float = 0.0) -> bool:
    """Return whether a rated candidate replaces the stored label: WResVLM's gate.

    It does if its rating is higher by more than `margin`, or if there is no rated label. The margin
    is our addition and may be below 0; the paper has none.
    """
    if stored is None or stored.rating is None:
        return True
    return candidate.rating > stored.rating + margin


def image_ratings(ratings: Ratings) -> list[ImageRating]:
    """Return the ratings of a rater's call, one for each image."""
    values = ratings.rating.tolist()
    logits = ratings.logits.tolist()
    return [ImageRating(value, tuple(row)) for value, row in zip(values, logits)]


def with_ratings(
    requests: Sequence[RatingRequest], ratings: Iterable[ImageRating]
) -> list[RatingRequest]:
    """Return `requests` with `ratings`, which are those of their unrated pictures in one list."""
    remaining = iter(ratings)
    return [request.with_ratings(remaining) for request in requests]


def to_arrays(images: Tensor) -> list[np.ndarray]:
    """Convert images (N, 3, H, W) in [0, 1] to uint8 RGB arrays (H, W, 3)."""
    return [image.permute(1, 2, 0).contiguous().numpy() for image in to_uint8(images)]


def from_array(image: np.ndarray) -> Tensor:
    """Convert a uint8 RGB array (H, W, 3) to float32 (3, H, W) in [0, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def is_from_teacher(candidate: Candidate) -> bool:
    """Return whether the teacher of this or of an earlier training made the image."""
    return candidate.source.startswith(TEACHER)


def _means(ratings: Iterator[ImageRating], count: int) -> Iterator[ImageRating]:
    """Yield the mean over each `count` ratings; NaN if one of them is."""
    while group := list(islice(ratings, count)):
        rating = sum(item.rating for item in group) / count
        columns = zip(*(item.logits for item in group))
        yield ImageRating(rating, tuple(sum(column) / count for column in columns))


def _is_unrated(candidate: Candidate | None) -> bool:
    return candidate is not None and candidate.rating is None


def _rated(candidate: Candidate | None, ratings: Iterator[ImageRating]) -> Candidate | None:
    """Return `candidate` with the next rating, if it needs one and that is a number."""
    if not _is_unrated(candidate):
        return candidate
    rating, logits = next(ratings)
    if math.isnan(rating):  # takes its turn, but changes nothing
        return candidate
    return candidate._replace(rating=rating, logits=logits)
