"""Scores of methods from pairwise choices (Bradley and Terry, Biometrika 1952)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ITERATIONS = 500
PRIOR = 0.1
"""Wins of each method over each other that are added, so that unbeaten methods stay finite."""
RESAMPLES = 400
"""Of the bootstrap."""


class Score(NamedTuple):
    """Outcome of a study for one method."""

    method: str
    wins: float
    """Choices for it; a tie counts one half."""
    shown: int
    """Comparisons with it."""
    score: float
    """Log strength, the mean over methods being 0; a difference d means P(win) = 1 / (1 + e^-d)."""
    low: float
    """Bounds of the 95 % bootstrap interval of the score."""
    high: float


def strengths(wins: np.ndarray) -> np.ndarray:
    """Return log strengths (M,), mean 0, from `wins` (M, M): wins[i, j] of i over j.

    Hunter's MM algorithm (Annals of Statistics 2004): p_i = W_i / sum_j n_ij / (p_i + p_j).
    """
    count = len(wins)
    wins = wins + PRIOR * (1 - np.eye(count))
    games = wins + wins.T
    total = wins.sum(1)
    strength = np.ones(count)
    for _ in range(ITERATIONS):
        pairs = games / (strength[:, None] + strength[None])
        strength = total / pairs.sum(1)
        strength /= np.exp(np.log(strength).mean())
    return np.log(strength)


def scores(
    methods: Sequence[str], choices: Sequence[tuple[str, str, float]], seed: int = 0
) -> list[Score]:
    """Return the score of each method from `choices`: (first, second, share of the first).

    The share is 1 if the first was chosen, 0 if the second was, 0.5 for a tie. The interval is the
    2.5th to 97.5th percentile of RESAMPLES bootstrap samples of the choices. Best first.
    """
    place = {method: number for number, method in enumerate(methods)}
    rows = np.array([(place[a], place[b]) for a, b, _ in choices], int).reshape(-1, 2)
    shares = np.array([share for *_, share in choices], float)
    rng = np.random.default_rng(seed)
    best = strengths(_wins(rows, shares, len(methods)))
    samples = []
    for _ in range(RESAMPLES if len(rows) else 1):
        drawn = rng.integers(len(rows), size=len(rows)) if len(rows) else np.empty(0, int)
        samples.append(strengths(_wins(rows[drawn], shares[drawn], len(methods))))
    low, high = np.percentile(samples, (2.5, 97.5), axis=0)
    wins = _wins(rows, shares, len(methods))
    result = []
    for method, number in place.items():
        shown = int((rows == number).sum())
        cells = (float(best[number]), float(low[number]), float(high[number]))
        result.append(Score(method, float(wins[number].sum()), shown, *cells))
    return sorted(result, key=lambda score: -score.score)


def _wins(rows: np.ndarray, shares: np.ndarray, count: int) -> np.ndarray:
    """Return the matrix of wins (count, count) of choices between `rows` (N, 2)."""
    wins = np.zeros((count, count))
    np.add.at(wins, (rows[:, 0], rows[:, 1]), shares)
    np.add.at(wins, (rows[:, 1], rows[:, 0]), 1 - shares)
    return wins
