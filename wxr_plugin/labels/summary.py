"""Counts of a label store by kind and model, for `wxr label report`."""

from collections.abc import Sequence
from itertools import chain

import msgspec

from wxr_plugin.labels.listing import NameTable
from wxr_plugin.labels.store import LabelStore, PseudoInfo, Rating
from wxr_plugin.utils.tables import print_table


class Group(msgspec.Struct):
    """Rows of one kind by one model."""

    kind: str
    """rating, description, rewrite, failure or pseudo-label."""
    model: str
    prompt: str
    weights: str
    source: str = ""
    """Origin of pseudo-labels; all trainings are "teacher"."""
    rows: int = 0
    mean_rating: float | None = None
    """Mean in [1, 5] of ratings and pseudo-labels."""
    histogram: dict[str, int] = {}
    """Ratings in each half point from 1 to 5, keyed by interval: 1.0-1.5."""


def summary(store: LabelStore) -> list[Group]:
    """Return the groups of a store, sorted; rows are read one at a time."""
    names = NameTable(store)
    groups: dict[tuple[str, ...], Group] = {}
    totals: dict[tuple[str, ...], float] = {}
    for label in chain(store.each_answer(), store.each_pseudo()):
        rater = label.rater if isinstance(label, PseudoInfo) else label.provenance
        key = (_kind(label), rater, _source(label))
        if key not in groups:
            columns = names.columns(rater)
            model, prompt, weights = (columns[name] for name in ("model", "prompt", "weights"))
            groups[key] = Group(key[0], model, prompt, weights, key[2])
        group = groups[key]
        group.rows += 1
        if isinstance(label, Rating | PseudoInfo):
            totals[key] = totals.get(key, 0.0) + label.rating
            interval = histogram_interval(label.rating)
            group.histogram[interval] = group.histogram.get(interval, 0) + 1
    for key, total in totals.items():
        groups[key].mean_rating = total / groups[key].rows
        groups[key].histogram = dict(sorted(groups[key].histogram.items()))
    return sorted(groups.values(), key=lambda group: (group.kind, group.model, group.prompt))


def print_summary(groups: Sequence[Group]) -> None:
    """Print the groups as a table, and the number of rows."""
    lines = []
    for group in groups:
        mean = "" if group.mean_rating is None else f"{group.mean_rating:.3f}"
        cells = (group.kind, group.model, group.prompt, group.source)
        lines.append([*cells, f"{group.rows:,}", mean])
    headings = ("kind", "model", "prompt", "source", "rows", "mean rating")
    print_table(headings, lines, numbers=("rows", "mean rating"))
    print(f"{sum(group.rows for group in groups):,} rows")


def histogram_interval(rating: float) -> str:
    """Return the half point of a rating in [1, 5], such as 1.0-1.5."""
    place = min(int((rating - 1) * 2), 7)  # 5 itself belongs to the last interval
    start = 1 + place / 2
    return f"{start:.1f}-{start + 0.5:.1f}"


def _kind(label: object) -> str:
    if isinstance(label, PseudoInfo):
        return "pseudo-label"
    return type(label).__name__.lower()


def _source(label: object) -> str:
    if not isinstance(label, PseudoInfo):
        return ""
    # teacher@ITERATION: one group for all iterations of a training.
    return label.source.partition("@")[0]
