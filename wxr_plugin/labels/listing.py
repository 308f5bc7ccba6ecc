"""Rows of a label store as a table and as CSV, for `wxr label show`."""

import math
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from wxr_plugin.labels.store import (
    Answer,
    Description,
    Failure,
    LabelStore,
    PseudoInfo,
    Rating,
    Rewrite,
)
from wxr_plugin.utils import files
from wxr_plugin.utils.csv_text import csv_line
from wxr_plugin.utils.external_sort import sorted_on_disk
from wxr_plugin.utils.rating_words import RATING_WORDS
from wxr_plugin.utils.tables import print_table

COLUMNS = ("kind", "image", "rating", "text", "model", "prompt", "time")
DETAILS = (*RATING_WORDS, "source", "attempts", "iteration", "weights", "dtype", "content")


def rows(store: LabelStore) -> list[dict[str, Any]]:
    """Return all labels of `store` as flat rows with COLUMNS and DETAILS, by image and time."""
    return sorted(each_row(store), key=lambda row: (row["image"], row["time"]))


def each_row(store: LabelStore) -> Iterator[dict[str, Any]]:
    """Yield all labels of `store` as flat rows; all of them may not fit the memory."""
    names = NameTable(store)
    for label in chain(store.each_answer(), store.each_pseudo()):
        yield _flat(label, names)


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table, without time and DETAILS."""
    columns = COLUMNS[:-1]
    lines = []
    for row in rows:
        lines.append([_text(row.get(name)) for name in columns])
    print_table(columns, lines, numbers=["rating"])
    print(f"{len(rows)} rows")


def write_csv(rows: Iterable[dict[str, Any]], path: Path) -> int:
    """Write the rows with every column to the CSV file `path`, by image and time.

    They may not fit the memory. Returns their number.
    """
    columns = (*COLUMNS, *DETAILS)

    def lines() -> Iterator[tuple[str, str, str]]:
        for row in rows:
            line = csv_line([row.get(column, "") for column in columns])
            yield row["image"], row["time"], line

    count = 0
    with files.replacing(path) as file:
        file.write(csv_line(columns).encode())
        for _, _, line in sorted_on_disk(lines()):
            file.write(line.encode())
            count += 1
    return count


class NameTable:
    """The names of models, prompts, weights and dtypes in a store, keyed by the rater's hash."""

    def __init__(self, store: LabelStore):
        self.store = store
        self._columns: dict[str, dict[str, str]] = {}

    def columns(self, rater: str) -> dict[str, str]:
        """Return the columns of a rater's provenance."""
        if rater not in self._columns:
            # Read again for each new rater: another process may have added it.
            digest, _, _ = rater.partition("@")  # of a rating in surroundings
            provenance = self.store.provenances().get(digest, {})
            names = ("model", "prompt", "weights", "dtype")
            self._columns[rater] = {name: _named(provenance, name) for name in names}
        return self._columns[rater]


def _flat(label: Answer | PseudoInfo, names: NameTable) -> dict[str, Any]:
    """Return a label as a row: columns that every kind has, and those of its own."""
    rater = label.rater if isinstance(label, PseudoInfo) else label.provenance
    row: dict[str, Any] = dict(names.columns(rater))
    time = datetime.fromtimestamp(label.time)
    row["image"] = label.key
    row["time"] = time.isoformat(timespec="seconds")
    row["content"] = label.content
    return row | _own_columns(label)


def _own_columns(label: Answer | PseudoInfo) -> dict[str, Any]:
    """Return the columns that depend on the kind of the label."""
    match label:
        case Rating():
            return _rating_columns(label)
        case Description():
            return {"kind": "description", "text": label.text}
        case Rewrite():
            return {
                "kind": "rewrite",
                "text": label.text,
                "source": label.source,
            }
        case Failure():
            return {
                "kind": "failure",
                "text": label.reason,
                "attempts": label.attempts,
            }
        case PseudoInfo():
            return {
                "kind": "pseudo-label",
                "rating": label.rating,
                "text": label.source,
                "iteration": label.iteration,
            }


def _rating_columns(label: Rating) -> dict[str, Any]:
    columns: dict[str, Any] = {"kind": "rating", "rating": label.rating}
    for word, logit in zip(RATING_WORDS, label.logits):
        # Raters without logits store NaN; their cells stay empty.
        if not math.isnan(logit):
            columns[word] = logit
    # Only ratings of a training have an iteration.
    if label.iteration is not None:
        columns["iteration"] = label.iteration
    return columns


def _named(provenance: dict[str, Any], name: str) -> str:
    """Return an entry of a provenance; for a panel, those of its raters.

    A task without a model is named by its type.
    """
    if provenance.get("type") == "panel":
        names = [_named(rater, name) for rater in provenance["raters"]]
        return " + ".join(names)
    default = ""
    if name == "model":
        default = provenance.get("type", "")
    return str(provenance.get(name, default))


def _text(value: Any) -> str:
    """Return the text of a cell; empty for a missing value."""
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value or "")
