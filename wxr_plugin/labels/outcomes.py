"""The votes of a panel about many photos, and a summary for each restorer."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import numpy as np

from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.labels.candidates import INPUT, STORED, PanelCandidate
from wxr_plugin.labels.panel import Vote
from wxr_plugin.utils.grouping import group_by

UNKNOWN = "unknown"
"""Weather of photos whose weather is unknown."""
ALL = "all"
"""Weather of the summary over all photos."""


class Outcome(NamedTuple):
    """The panel's vote about one photo or crop."""

    key: str
    weather: str
    """A name of WEATHERS, or "unknown"."""
    candidates: list[PanelCandidate]
    ratings: np.ndarray
    """(raters, candidates) in [1, 5], NaN without a rating."""
    vote: Vote

    @property
    def winner(self) -> PanelCandidate | None:
        """The chosen candidate; None if nothing was rated."""
        place = self.vote.winner
        if place is None:
            return None
        return self.candidates[place]

    @property
    def rating(self) -> float:
        """The panel's mean rating of the winner."""
        mean_rating = self.vote.mean_rating[self.vote.winner]
        return float(mean_rating)


class InitResult(msgspec.Struct):
    """The result of an initialisation."""

    raters: list[str]
    outcomes: list[Outcome] = msgspec.field(default_factory=list)
    failed: list[str] = msgspec.field(default_factory=list)
    """A line for each photo that could not be read, or that a restorer or rater failed on."""
    stored: int = 0
    """Pseudo-labels that are new or changed."""

    @property
    def unrated(self) -> list[str]:
        """Photos and crops without any rated candidate; their labels are unchanged."""
        return [outcome.key for outcome in self.outcomes if outcome.winner is None]


class Line(msgspec.Struct):
    """Summary of one method in one weather."""

    weather: str
    """A name of WEATHERS, UNKNOWN or ALL, where every photo counts alike."""
    method: str
    """INPUT, STORED, or a restorer's name."""
    images: int
    """Photos or crops with a vote on it; equal images count for one method."""
    won: int
    """Number of them that it won."""
    share: float
    """`won` as a share, in [0, 1], of all photos or crops of this weather with a vote."""
    mean_rank: float
    """Mean over raters and images; 1 is the best."""
    ratings: dict[str, float]
    """Rater -> its mean rating in [1, 5]; NaN if that rater rated none."""


def summary(result: InitResult) -> list[Line]:
    """Return a line for each weather and method; the last ones are over all weathers."""
    voted = [outcome for outcome in result.outcomes if outcome.winner]
    groups = group_by(voted, lambda outcome: outcome.weather, (*WEATHERS, UNKNOWN))
    # Over one weather alone, the summary of all would repeat it.
    if len(groups) > 1:
        groups[ALL] = voted
    lines = []
    for weather, outcomes in groups.items():
        for method in _methods(outcomes):
            line = _line(weather, method, outcomes, result.raters)
            lines.append(line)
    return lines


def _methods(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the candidates' names: INPUT, STORED, then the restorers in order of their names."""
    names = set()
    for outcome in outcomes:
        for candidate in outcome.candidates:
            names.add(candidate.name)
    order = {INPUT: 0, STORED: 1}
    return sorted(names, key=lambda name: (order.get(name, 2), name))


def _line(weather: str, method: str, outcomes: list[Outcome], raters: list[str]) -> Line:
    """Return the summary of one method over `outcomes`, those of a weather."""
    won = 0
    mean_ranks, ratings_by_image = [], []
    for outcome in outcomes:
        place = _place(outcome, method)
        # A restoration may be missing, or equal to another candidate.
        if place is None:
            continue
        won += outcome.vote.winner == place
        mean_ranks.append(outcome.vote.mean_rank[place])
        ratings_by_image.append(outcome.ratings[:, place])
    by_rater = np.array(ratings_by_image).T  # (raters, images)
    ratings = {}
    for name, of_rater in zip(raters, by_rater):
        ratings[name] = _mean(of_rater)
    return Line(
        weather,
        method,
        images=len(mean_ranks),
        won=won,
        share=won / len(outcomes),
        mean_rank=float(np.mean(mean_ranks)),
        ratings=ratings,
    )


def _place(outcome: Outcome, method: str) -> int | None:
    """Return the index of the candidate `method`; None without one."""
    names = [candidate.name for candidate in outcome.candidates]
    return names.index(method) if method in names else None


def _mean(values: np.ndarray) -> float:
    """Return the mean without NaN; NaN if there is nothing else."""
    given = values[~np.isnan(values)]
    if not len(given):
        return float("nan")
    return float(given.mean())
