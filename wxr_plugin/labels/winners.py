"""Votes from the ratings of the candidates, and rows of the store from the winners."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from wxr_plugin.data.real_photos import RealPhotos
from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.labels.candidates import PanelCandidates
from wxr_plugin.labels.outcomes import UNKNOWN, Outcome
from wxr_plugin.labels.panel import vote
from wxr_plugin.labels.rows import (
    PseudoInfo,
    PseudoLabel,
    content_hash,
    encode_png,
    pseudo_row,
)
from wxr_plugin.labels.store import LabelStore


def votes(
    photos: RealPhotos,
    candidates: PanelCandidates,
    store: LabelStore,
    provenances: list[dict[str, Any]],
) -> Iterator[Outcome]:
    """Yield the vote about each photo or crop, by the stored ratings of its candidates."""

    def stored(key: str, content: str, provenance: dict[str, Any]) -> float:
        row = store.get_rating(key, content, provenance)
        return row.rating if row else np.nan

    for key, choice in sorted(candidates.choices.items()):
        contents = [candidate.content for candidate in choice.candidates]
        ratings = np.empty((len(provenances), len(contents)))
        for index, provenance in enumerate(provenances):
            ratings[index] = [stored(key, content, provenance) for content in contents]
        weather = photos.weather(choice.photo)  # -1 without one
        name = WEATHERS[weather] if weather >= 0 else UNKNOWN
        yield Outcome(key, name, choice.candidates, ratings, vote(ratings))


def changed_winners(
    candidates: PanelCandidates,
    outcomes: Sequence[Outcome],
    labels: Mapping[str, PseudoInfo],
    rater: str,
) -> list[Outcome]:
    """Return the outcomes whose winner, rating or rater differs from the stored label.

    `labels` are the stored ones, keyed by name, and `rater` is the panel's `provenance_hash`.
    """

    def is_stored(outcome: Outcome) -> bool:
        label = labels.get(outcome.key)
        if label is None or candidates.choices[outcome.key].stored != outcome.winner.name:
            return False
        return (label.rating, label.rater) == (outcome.rating, rater)

    return [outcome for outcome in outcomes if outcome.winner and not is_stored(outcome)]


def winner_rows(
    candidates: PanelCandidates,
    outcomes: Sequence[Outcome],
    rater: str,
    advance: Callable[[int, object], None],
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the row of each winner; all of them may not fit the memory.

    `advance(1, "")` is called for each.
    """
    for outcome in outcomes:
        image = candidates.image(outcome.key, outcome.winner.name)
        label = PseudoLabel(
            outcome.key,
            outcome.rating,
            outcome.winner.source,
            0,  # a panel's labels are those of iteration 0
            rater,
            content=content_hash(image),
            png=encode_png(image),
        )
        yield pseudo_row(label)
        advance(1, "")
