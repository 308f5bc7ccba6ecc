"""How a panel voted about many photos, and what that says of each restorer."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import numpy as np

from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.labels.candidates import INPUT, STORED, PanelCandidate
from wxr_plugin.labels.panel import Vote

UNKNOWN, ALL = "unknown", "all"
"""Weather of photos that nothing tells, and of the rows over all photos."""


class Outcome(NamedTuple):
    """How the panel voted about one photo or crop."""

    key: str
    weather: str
    """A name of WEATHERS, or "unknown"."""
    candidates: list[PanelCandidate]
    ratings: np.ndarray
    """(raters, candidates) in [1, 5], NaN where there is none."""
    vote: Vote

    @property
    def winner(self) -> PanelCandidate | None:
        """None if nothing was rated."""
        return None if self.vote.winner is None else self.candidates[self.vote.winner]

    @property
    def rating(self) -> float:
        """The panel's mean rating of the winner."""
        return float(self.vote.mean_rating[self.vote.winner])


class InitResult(msgspec.Struct):
    """What an initialisation came to."""

    raters: list[str]
    outcomes: list[Outcome] = msgspec.field(default_factory=list)
    failed: list[str] = msgspec.field(default_factory=list)
    """A line for each photo that could not be read, restored by one of the restorers, or rated by one of the raters."""
    stored: int = 0
    """Pseudo-labels that are new or changed."""

    @property
    def unrated(self) -> list[str]:
        """Photos and crops of which no candidate got a rating; nothing was changed about them."""
        return [outcome.key for outcome in self.outcomes if outcome.winner is None]


class Line(msgspec.Struct):
    """One method in one weather."""

    weather: str
    """A name of WEATHERS, UNKNOWN or ALL, which takes every photo alike."""
    method: str
    """INPUT, STORED, or a restorer's name."""
    images: int
    """Photos or crops that it was a candidate for and that were voted about; equal images count for one method."""
    won: int
    """Of these, how often it won."""
    share: float
    """Of all photos or crops of this weather that were voted about, the share that it won, in [0, 1]."""
    mean_rank: float
    """Mean over raters and images; 1 is the best."""
    ratings: dict[str, float]
    """Its mean rating in [1, 5] by rater; NaN where that rater rated none."""


def summary(result: InitResult) -> list[Line]:
    """A line for each weather and method that there is; the last ones are over all weathers."""
    voted = [outcome for outcome in result.outcomes if outcome.winner]
    weathers = [
        name for name in (*WEATHERS, UNKNOWN) if any(outcome.weather == name for outcome in voted)
    ]
    parts = [(name, [outcome for outcome in voted if outcome.weather == name]) for name in weathers]
    parts += [(ALL, voted)] if len(weathers) > 1 else []
    return [
        _line(weather, method, outcomes, result.raters)
        for weather, outcomes in parts
        for method in _methods(outcomes)
    ]


def _methods(outcomes: Iterable[Outcome]) -> list[str]:
    names = dict.fromkeys(
        candidate.name for outcome in outcomes for candidate in outcome.candidates
    )
    return sorted(names, key=lambda name: ({INPUT: 0, STORED: 1}.get(name, 2), name))


def _line(weather: str, method: str, outcomes: list[Outcome], raters: list[str]) -> Line:
    places = [(outcome, _place(outcome, method)) for outcome in outcomes]
    places = [(outcome, place) for outcome, place in places if place is not None]
    won = sum(outcome.vote.winner == place for outcome, place in places)
    mean_rank = float(np.mean([outcome.vote.mean_rank[place] for outcome, place in places]))
    given = np.array([outcome.ratings[:, place] for outcome, place in places])
    ratings = {name: _mean(given[:, number]) for number, name in enumerate(raters)}
    return Line(weather, method, len(places), won, won / len(outcomes), mean_rank, ratings)


def _place(outcome: Outcome, method: str) -> int | None:
    names = [candidate.name for candidate in outcome.candidates]
    return names.index(method) if method in names else None


def _mean(values: np.ndarray) -> float:
    given = values[~np.isnan(values)]
    return float(given.mean()) if len(given) else float("nan")
