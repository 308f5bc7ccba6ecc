"""A panel of raters that chooses one of several images (WResVLM, arXiv 2409.02101).

In the paper "several VLM experts vote", and it does not say how. Our choice: the lowest mean rank
wins, because ratings of different models do not compare; ties go to the higher mean rating, then to
the first candidate.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata


class Vote(NamedTuple):
    """The vote of a panel on the candidates of one image."""

    winner: int | None
    """Index of the winner; None if no rater rated any candidate."""
    mean_rank: np.ndarray
    """(candidates,), 1 is the best; NaN without a winner."""
    mean_rating: np.ndarray
    """(candidates,) in [1, 5], over the raters that rated the candidate; NaN if none did."""


def vote(ratings: np.ndarray) -> Vote:
    """Return the vote of a panel with `ratings` (raters, candidates), NaN without a rating.

    Each rater ranks the candidates. Equal ratings share the mean of their ranks, and candidates
    without a rating share the last ranks. A rater that rated none is left out, and a candidate that
    none rated cannot win.
    """
    ratings = np.asarray(ratings, float)
    is_given = ~np.isnan(ratings)
    count = is_given.sum(0)  # (candidates,) raters of each
    is_rated = count > 0
    nothing = np.full(len(count), np.nan)
    total = np.where(is_given, ratings, 0).sum(0)
    mean_rating = np.divide(total, count, where=is_rated, out=nothing.copy())
    # rankdata gives rank 1 to the smallest value, so ratings are negated; inf comes last.
    negated = np.where(is_given, -ratings, np.inf)
    is_voter = is_given.any(1)  # (raters,)
    voters = negated[is_voter]
    if not len(voters):
        return Vote(None, nothing, mean_rating)
    ranks = rankdata(voters, axis=1)
    mean_rank = ranks.mean(0)
    # Lowest mean rank, then highest mean rating, then first candidate.
    rated = np.flatnonzero(is_rated)
    winner = min(rated, key=lambda index: (mean_rank[index], -mean_rating[index], index))
    return Vote(int(winner), mean_rank, mean_rating)


def panel_provenance(raters: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the provenance of a panel's mean rating; for a panel of one, that of its rater.

    A training whose rater is the panel's only one can thus use the ratings of the labels that it
    starts from.
    """
    provenances = [dict(rater) for rater in raters]
    if len(provenances) == 1:
        return provenances[0]
    return {"type": "panel", "raters": provenances}
