"""A small head on CLIP features that estimates ratings, so that the rater sees fewer images.

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
"""Share of the old variance that stays at each new error."""
FIRST_VARIANCE = 0.05
"""Of the change of log-odds between two visits, before any was seen."""
SCALE = 100.0
"""Factor on changes of unit features, which are small, so that the prior fits them."""
EDGE = 1e-4


class ProxySample(NamedTuple):
    """A rated image of the teacher."""

    key: str
    features: Tensor
    """(D,)."""
    rating: float
    label_rating: float
    """Rating of the pseudo-label that the image was compared with."""


class Ridge:
    """Least squares with a Gaussian prior on the weights, updated by single observations."""

    def __init__(self, size: int, prior: float = 1.0):
        self.weights = torch.zeros(size, dtype=torch.float64)
        # Inverse of the regularised second moment of the inputs, (size, size).
        self.inverse = torch.eye(size, dtype=torch.float64) / prior

    def predict(self, x: Tensor) -> tuple[float, float]:
        """Return the expected value at `x` (size,) and the variance from uncertain weights.

        The variance is in units of the noise.
        """
        return float(self.weights @ x), float(x @ self.inverse @ x)

    def learn(self, x: Tensor, y: float) -> None:
        """Add the observation that the value at `x` (size,) is `y`."""
        # Sherman-Morrison: (A + x x^T)^-1 = A^-1 - (A^-1 x)(A^-1 x)^T / (1 + x^T A^-1 x).
        gain = self.inverse @ x / (1 + x @ self.inverse @ x)
        self.weights += gain * (y - self.weights @ x)
        self.inverse -= torch.outer(gain, self.inverse @ x)


def log_odds(rating: float) -> float:
    """Return the log-odds of (rating - 1) / 4, which is kept EDGE away from 0 and 1."""
    share = min(max((rating - 1) / 4, EDGE), 1 - EDGE)
    return math.log(share / (1 - share))


def chance_above(mean: float, deviation: float, bound: float) -> float:
    """Return the probability that a normal variable is larger than `bound`."""
    return 0.5 * math.erfc((bound - mean) / (deviation * math.sqrt(2)))


class RatingProxy:
    """Estimates the probability that the teacher's image of a crop beats its pseudo-label.

    It remembers the last rated sample of each crop. A crop without one has probability 1.

    Args:
        guide: the CLIP of the features.
        threshold: least probability at which an image is rated.
        explore: share of the other images that are rated anyway.
    """

    def __init__(self, guide: "ClipGuide", threshold: float, explore: float):
        self.guide = guide
        self.threshold = threshold
        self.explore = explore
        self.ridge: Ridge | None = None
        self.variance = FIRST_VARIANCE
        self.last: dict[str, ProxySample] = {}

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Return CLIP features (N, D) of images (N, 3, H, W) in [0, 1], on the CPU."""
        return self.guide.encode_image(images.nan_to_num()).float().cpu()

    def chance(self, key: str, features: Tensor, bound: float) -> float:
        """Return the probability that an image of `key`, features (D,), is rated above `bound`."""
        last = self.last.get(key)
        if last is None or self.ridge is None:
            return 1.0
        if bound >= 5:
            return 0.0
        change, uncertainty = self.ridge.predict(_inputs(last, features))
        mean = log_odds(last.rating) + change
        deviation = math.sqrt(self.variance * (1 + uncertainty))
        return chance_above(mean, deviation, log_odds(bound))

    def is_worth_it(self, chance: float) -> bool:
        """Return whether to rate an image; unlikely ones are drawn from torch's CPU generator."""
        return chance >= self.threshold or bool(torch.rand(()) < self.explore)

    def learn(self, samples: Sequence[ProxySample]) -> None:
        """Learn from rated images, in this order; every rank has to get the same samples."""
        for sample in samples:
            # The head predicts changes, so the first rating of a crop teaches it nothing.
            if last := self.last.get(sample.key):
                change = log_odds(sample.rating) - log_odds(last.rating)
                self._fit(_inputs(last, sample.features), change)
            self.last[sample.key] = sample

    def state(self) -> dict[str, Any]:
        """Return the state of the head, as plain types and tensors."""
        samples = list(self.last.values())
        ridge = features = None
        if self.ridge:
            ridge = [self.ridge.weights.clone(), self.ridge.inverse.clone()]
        if samples:
            features = torch.stack([sample.features for sample in samples])
        return {
            "variance": self.variance,
            "ridge": ridge,
            "keys": [sample.key for sample in samples],
            "features": features,
            "ratings": [[sample.rating, sample.label_rating] for sample in samples],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore a `state`."""
        self.variance = state["variance"]
        if state["ridge"] is not None:
            weights, inverse = state["ridge"]
            self.ridge = Ridge(len(weights))
            self.ridge.weights = weights.clone()
            self.ridge.inverse = inverse.clone()
        self.last = {}
        features = state["features"] if state["keys"] else ()
        for key, row, ratings in zip(state["keys"], features, state["ratings"]):
            rating, label_rating = ratings
            self.last[key] = ProxySample(key, row.clone(), rating, label_rating)

    def _fit(self, x: Tensor, y: float) -> None:
        if self.ridge is None:
            self.ridge = Ridge(len(x))
        estimate, uncertainty = self.ridge.predict(x)
        # The squared error has mean variance * (1 + uncertainty).
        squared_error = (y - estimate) ** 2 / (1 + uncertainty)
        self.variance = MEMORY * self.variance + (1 - MEMORY) * squared_error
        self.ridge.learn(x, y)


def _inputs(last: ProxySample, features: Tensor) -> Tensor:
    """Return the change of features, the last lead over the label and a constant 1, (D + 2,)."""
    change = SCALE * (features - last.features).double()
    lead = log_odds(last.rating) - log_odds(last.label_rating)
    return torch.cat((change, change.new_tensor([lead, 1.0])))
