"""A panel of raters that chooses one of several images (WResVLM, arXiv 2409.02101, "several VLM experts vote").

The paper does not say how they vote. Our choice: the lowest mean rank wins, because ratings of
different models do not compare; ties go to the higher mean rating, then to the first candidate.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata


class Vote(NamedTuple):
    """What a panel made of the candidates."""

    winner: int | None
    """Index of the candidate that won; None if no rater rated any of them."""
    mean_rank: np.ndarray
    """(candidates,), 1 being the best; NaN if there is no winner."""
    mean_rating: np.ndarray
    """(candidates,) in [1, 5], over the raters that rated it; NaN if none did."""


def vote(ratings: np.ndarray) -> Vote:
    """The vote of a panel whose `ratings` are (raters, candidates), NaN where there is no rating.

    Each rater ranks the candidates, equal ratings sharing the mean of their ranks, those without a
    rating the last ranks. A rater that rated none is left out, and a candidate that none rated
    cannot win.
    """
    ratings = np.asarray(ratings, float)
    given = ~np.isnan(ratings)
    count = given.sum(0)
    mean_rating = np.divide(
        np.where(given, ratings, 0).sum(0), count, where=count > 0, out=np.full(len(count), np.nan)
    )
    voters = np.where(given, -ratings, np.inf)[given.any(1)]
    if not len(voters):
        return Vote(None, np.full(len(count), np.nan), mean_rating)
    mean_rank = rankdata(voters, axis=1).mean(0)
    order = [
        (rank, -rating, number)
        for number, (rank, rating) in enumerate(zip(mean_rank, mean_rating))
        if count[number]
    ]
    return Vote(min(order)[2], mean_rank, mean_rating)


def panel_provenance(raters: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the mean rating of a panel depends on; for a panel of one, that rater's own provenance.

    A training whose rater is the panel's only one then knows the ratings of the labels that it
    starts from.
    """
    return (
        dict(raters[0])
        if len(raters) == 1
        else {"type": "panel", "raters": [dict(rater) for rater in raters]}
    )
