"""A small head on CLIP features that guesses what the rater would say, so that it is asked only where that matters.

The paper names the cost of rating as its limitation; this answer to it is ours. Between two visits
of a crop the teacher changes little, so the head predicts how the rating has changed since the crop
was last rated, by Bayesian ridge regression on the change of the image's CLIP features, with the
head's own errors as the spread. It works with log-odds of ratings, because a rating near 1 or 5
changes less than one in between.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from wxr_plugin.conditioning.clip import ClipGuide

MEMORY = 0.98
"""Share of the old spread that stays at each new error."""
FIRST_VARIANCE = 0.05
"""Of the change of log-odds between two visits, before any was seen."""
SCALE = 100.0
"""On changes of unit features, which are small, so that the prior fits them."""
EDGE = 1e-4


class Lesson(NamedTuple):
    """An image of the teacher that was rated."""

    key: str
    features: Tensor
    """(D,)."""
    rating: float
    label_rating: float
    """That of the pseudo-label it was compared with."""


class Ridge:
    """Least squares with a Gaussian prior on the weights, updated one observation at a time (Sherman-Morrison)."""

    def __init__(self, size: int, prior: float = 1.0):
        self.weights = torch.zeros(size, dtype=torch.float64)
        self.inverse = torch.eye(size, dtype=torch.float64) / prior

    def predict(self, x: Tensor) -> tuple[float, float]:
        """The expected value at `x` (size,), and the variance that the weights' uncertainty adds, in units of noise."""
        return float(self.weights @ x), float(x @ self.inverse @ x)

    def learn(self, x: Tensor, y: float) -> None:
        """Take in that the value at `x` (size,) is `y`."""
        gain = self.inverse @ x / (1 + x @ self.inverse @ x)
        self.weights += gain * (y - self.weights @ x)
        self.inverse -= torch.outer(gain, self.inverse @ x)


def log_odds(rating: float) -> float:
    """Of (rating - 1) / 4, kept EDGE away from 0 and 1."""
    share = min(max((rating - 1) / 4, EDGE), 1 - EDGE)
    return math.log(share / (1 - share))


def chance_above(mean: float, deviation: float, bound: float) -> float:
    """The probability that a normal variable is larger than `bound`."""
    return 0.5 * math.erfc((bound - mean) / (deviation * math.sqrt(2)))


class RatingProxy:
    """Says how likely the teacher's image of a crop is to beat its pseudo-label.

    It knows what was rated of a crop last: the image's features, its rating, and the label's. A
    crop of which nothing is known has chance 1.

    Args:
        guide: the CLIP of the features.
        threshold: least chance at which asking is worth it.
        explore: share of the others that are asked about anyway.
    """

    def __init__(self, guide: "ClipGuide", threshold: float, explore: float):
        self.guide, self.threshold, self.explore = guide, threshold, explore
        self.ridge: Ridge | None = None
        self.variance = FIRST_VARIANCE
        self.last: dict[str, Lesson] = {}

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """CLIP features (N, D) of images (N, 3, H, W) in [0, 1], on the CPU."""
        return self.guide.encode_image(images.nan_to_num()).float().cpu()

    def chance(self, key: str, features: Tensor, bound: float) -> float:
        """The probability that an image of `key` with these features (D,) is rated above `bound`."""
        last = self.last.get(key)
        if last is None or self.ridge is None:
            return 1.0
        if bound >= 5:
            return 0.0
        change, uncertainty = self.ridge.predict(_inputs(last, features))
        deviation = math.sqrt(self.variance * (1 + uncertainty))
        return chance_above(log_odds(last.rating) + change, deviation, log_odds(bound))

    def is_worth_it(self, chance: float) -> bool:
        """Whether to ask; random for unlikely images, from torch's generator on the CPU."""
        return chance >= self.threshold or bool(torch.rand(()) < self.explore)

    def learn(self, lessons: Sequence[Lesson]) -> None:
        """Take in what the rater said, in this order; of several processes each has to get the same lessons."""
        for lesson in lessons:
            if last := self.last.get(lesson.key):
                self._fit(
                    _inputs(last, lesson.features), log_odds(lesson.rating) - log_odds(last.rating)
                )
            self.last[lesson.key] = lesson

    def state(self) -> dict[str, Any]:
        """All that was learnt, in plain types and tensors."""
        rows = list(self.last.values())
        return {
            "variance": self.variance,
            "ridge": [self.ridge.weights.clone(), self.ridge.inverse.clone()]
            if self.ridge
            else None,
            "keys": [row.key for row in rows],
            "features": torch.stack([row.features for row in rows]) if rows else None,
            "ratings": [[row.rating, row.label_rating] for row in rows],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        self.variance = state["variance"]
        if state["ridge"] is not None:
            self.ridge = Ridge(len(state["ridge"][0]))
            self.ridge.weights, self.ridge.inverse = (part.clone() for part in state["ridge"])
        rows = zip(state["keys"], state["features"] if state["keys"] else (), state["ratings"])
        self.last = {
            key: Lesson(key, features.clone(), *ratings) for key, features, ratings in rows
        }

    def _fit(self, x: Tensor, y: float) -> None:
        self.ridge = self.ridge or Ridge(len(x))
        guess, uncertainty = self.ridge.predict(x)
        self.variance = MEMORY * self.variance + (1 - MEMORY) * (y - guess) ** 2 / (1 + uncertainty)
        self.ridge.learn(x, y)


def _inputs(last: Lesson, features: Tensor) -> Tensor:
    """The change of features, how far the last image stood above or below its label, and 1."""
    change = SCALE * (features - last.features).double()
    ahead = log_odds(last.rating) - log_odds(last.label_rating)
    return torch.cat((change, change.new_tensor([ahead, 1.0])))
