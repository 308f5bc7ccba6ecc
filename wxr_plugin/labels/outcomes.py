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
        return None if self.vote.winner is None else self.candidates[self.vote.winner]

    @property
    def rating(self) -> float:
        """The panel's mean rating of the winner."""
        return float(self.vote.mean_rating[self.vote.winner])


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
    if len(groups) > 1:
        groups[ALL] = voted
    return [
        _line(weather, method, outcomes, result.raters)
        for weather, outcomes in groups.items()
        for method in _methods(outcomes)
    ]


def _methods(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the candidates' names: INPUT, STORED, then the restorers in order of their names."""
    names = dict.fromkeys(
        candidate.name for outcome in outcomes for candidate in outcome.candidates
    )
    order = {INPUT: 0, STORED: 1}
    return sorted(names, key=lambda name: (order.get(name, 2), name))


def _line(weather: str, method: str, outcomes: list[Outcome], raters: list[str]) -> Line:
    places = [(outcome, _place(outcome, method)) for outcome in outcomes]
    places = [(outcome, place) for outcome, place in places if place is not None]
    won = sum(outcome.vote.winner == place for outcome, place in places)
    mean_rank = float(np.mean([outcome.vote.mean_rank[place] for outcome, place in places]))
    # (images, raters)
    by_image = np.array([outcome.ratings[:, place] for outcome, place in places])
    ratings = {name: _mean(by_image[:, number]) for number, name in enumerate(raters)}
    return Line(weather, method, len(places), won, won / len(outcomes), mean_rank, ratings)


def _place(outcome: Outcome, method: str) -> int | None:
    """Return the index of the candidate `method`; None without one."""
    names = [candidate.name for candidate in outcome.candidates]
    return names.index(method) if method in names else None


def _mean(values: np.ndarray) -> float:
    given = values[~np.isnan(values)]
    return float(given.mean()) if len(given) else float("nan")
