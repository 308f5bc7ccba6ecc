"""From the candidates' ratings to votes, and from votes to the rows of the winners."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from wxr_plugin.data.real_photos import RealPhotos
from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.labels.candidates import PanelCandidates
from wxr_plugin.labels.outcomes import UNKNOWN, Outcome
from wxr_plugin.labels.panel import vote
from wxr_plugin.labels.rows import PseudoInfo, PseudoLabel, encode_png, pseudo_row
from wxr_plugin.labels.store import LabelStore


def votes(
    photos: RealPhotos,
    candidates: PanelCandidates,
    store: LabelStore,
    provenances: list[dict[str, Any]],
) -> Iterator[Outcome]:
    """The vote about each photo or crop, by the ratings that the store holds of its candidates."""
    for key, choice in sorted(candidates.choices.items()):
        found = [
            [
                store.get_rating(key, candidate.content, provenance)
                for candidate in choice.candidates
            ]
            for provenance in provenances
        ]
        ratings = np.array([[row.rating if row else np.nan for row in rater] for rater in found])
        weather = photos.weather(choice.photo)
        name = WEATHERS[weather] if weather >= 0 else UNKNOWN
        yield Outcome(key, name, choice.candidates, ratings, vote(ratings))


def changed_winners(
    candidates: PanelCandidates,
    outcomes: Sequence[Outcome],
    known: Mapping[str, PseudoInfo],
    rater: str,
) -> list[Outcome]:
    """Those whose winner, or its rating by the panel whose provenance hashes to `rater`, is not what is `known`."""

    def is_known(outcome: Outcome) -> bool:
        label = known.get(outcome.key)
        same_image = candidates.choices[outcome.key].stored == outcome.winner.name
        return bool(label) and same_image and (label.rating, label.rater) == (outcome.rating, rater)

    return [outcome for outcome in outcomes if outcome.winner and not is_known(outcome)]


def winner_rows(
    candidates: PanelCandidates,
    outcomes: Sequence[Outcome],
    rater: str,
    advance: Callable[[int, object], None],
) -> Iterator[tuple[bytes, bytes]]:
    """The row of each winner, made as it is iterated: all of them may not fit the memory."""
    for outcome in outcomes:
        winner, png = outcome.winner, encode_png(candidates.image(outcome.key, outcome.winner.name))
        yield pseudo_row(PseudoLabel(outcome.key, outcome.rating, winner.source, 0, rater, png=png))
        advance(1, "")
