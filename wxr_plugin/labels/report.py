"""Output of `wxr label`: progress, summaries, tables and CSV files."""

import math
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from wxr_plugin.labels.labelling import LabelTask, Tally
from wxr_plugin.labels.rewriting import without_description
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
from wxr_plugin.utils.csv_text import dicts_to_csv
from wxr_plugin.utils.tables import print_histogram, print_table
from wxr_plugin.vlm.rater import RATING_WORDS

COLUMNS = ("kind", "image", "rating", "text", "model", "prompt", "time")
DETAILS = (*RATING_WORDS, "source", "attempts", "iteration", "weights", "dtype", "content")
EXTREMES = 3
"""Number of the worst, and of the best, photos that a summary names."""


def print_ratings(store: LabelStore, task: LabelTask, tally: Tally) -> dict[str, Any]:
    """Print mean, histogram, worst and best of the photos that were just labelled.

    Returns:
        The same as plain values, for JSON; empty without a rating.
    """
    rows = []
    for key, content in tally.seen:
        row = store.get_rating(key, content, task.provenance)
        if row:
            rows.append(row)
    if not rows:
        return {}
    rows.sort(key=lambda row: row.rating)
    ratings = [row.rating for row in rows]
    mean = sum(ratings) / len(ratings)
    intervals = histogram(ratings)
    print(f"mean rating {mean:.3f} over {len(ratings)} photos")
    print_histogram(list(intervals.items()))
    worst = rows[:EXTREMES]
    best = rows[::-1][:EXTREMES]
    print(f"worst: {_listed(worst)}")
    print(f"best:  {_listed(best)}")
    return {
        "mean": mean,
        "count": len(ratings),
        "histogram": intervals,
        "worst": {row.key: row.rating for row in worst},
        "best": {row.key: row.rating for row in best},
    }


def print_descriptions(store: LabelStore, task: LabelTask, tally: Tally) -> dict[str, Any]:
    """Print the first few descriptions of the photos that were just labelled, and return all."""
    rows = (store.get_description(*photo, task.provenance) for photo in tally.seen)
    texts = {row.key: row.text for row in rows if row}
    for key, text in islice(texts.items(), EXTREMES):
        print(f"{key}: {text}")
    return {"texts": texts}


def print_rewrites(store: LabelStore, provenance: dict[str, Any], tally: Tally) -> dict[str, Any]:
    """Print the first few descriptions with their rewrites, and photos without a description.

    Returns:
        All of them as plain values, for JSON.
    """
    newest = store.descriptions()
    # A rewrite belongs to the text that it rewrites.
    rows = (store.get_rewrite(key, newest[key].text, provenance) for key, _ in tally.seen)
    existing = list(filter(None, rows))
    for row in existing[:EXTREMES]:
        print(f"{row.key}: {row.source}\n  -> {row.text}")
    missing = without_description(store)
    if missing:
        names = _first_names(missing)
        print(f"without description: {len(missing)} ({names}); `wxr label describe` makes them")
    texts = {row.key: row.text for row in existing}
    return {"texts": texts, "without_description": missing}


def _first_names(names: list[str]) -> str:
    """Return the first few names, and an ellipsis if there are more."""
    text = ", ".join(names[:EXTREMES])
    if len(names) > EXTREMES:
        text += ", …"
    return text


def print_tally(store: LabelStore, tally: Tally, asked_about: str = "photos") -> None:
    """Print the failures, then the counts in one line."""
    for line in tally.failed:
        print(f"failed: {line}")
    earlier = [line for line in tally.failed if line.endswith("(earlier)")]
    if earlier:
        print("--retry-failed tries again what failed earlier")
    asked = f"asked about {tally.asked} {asked_about} in {tally.calls} model calls"
    failed = len(tally.failed)
    print(f"{store.path}: {asked}, reused {tally.reused}, failed {failed}")


def tallied(store: LabelStore, tally: Tally) -> dict[str, Any]:
    """Return the counts and the failures as plain values, for JSON."""
    counts = {"asked": tally.asked, "calls": tally.calls, "reused": tally.reused}
    return {"store": store.path, **counts, "failed": tally.failed}


def histogram(ratings: list[float]) -> dict[str, int]:
    """Return the number of ratings in each half point from 1 to 5, keyed by interval: 1.0-1.5."""
    counts = [0] * 8
    for rating in ratings:
        interval = int((rating - 1) * 2)
        interval = min(interval, 7)  # 5 itself belongs to the last interval
        counts[interval] += 1
    starts = [1 + interval / 2 for interval in range(8)]
    return {f"{start:.1f}-{start + 0.5:.1f}": count for start, count in zip(starts, counts)}


def rows(store: LabelStore) -> list[dict[str, Any]]:
    """Return all labels of `store` as flat rows with COLUMNS and DETAILS, by image and time."""
    provenances = store.provenances()
    labels = [*store.answers(), *store.pseudo_index().values()]
    flat_rows = [_flat(label, provenances) for label in labels]
    return sorted(flat_rows, key=lambda row: (row["image"], row["time"]))


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table, without time and DETAILS."""
    columns = COLUMNS[:-1]
    lines = []
    for row in rows:
        lines.append([_text(row.get(name)) for name in columns])
    print_table(columns, lines, numbers=["rating"])
    print(f"{len(rows)} rows")


def write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the rows with every column to the CSV file `path`."""
    columns = (*COLUMNS, *DETAILS)
    text = dicts_to_csv(columns, rows)
    files.write_text(path, text)


def _listed(rows: list[Rating]) -> str:
    names = [f"{row.key} {row.rating:.2f}" for row in rows]
    return ", ".join(names)


def _flat(label: Answer | PseudoInfo, provenances: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a label as a row: columns that every kind has, and those of its own."""
    rater = label.rater if isinstance(label, PseudoInfo) else label.provenance
    digest, _, _ = rater.partition("@")  # of a rating in surroundings
    provenance = provenances.get(digest, {})
    row: dict[str, Any] = {}
    for name in ("model", "prompt", "weights", "dtype"):
        row[name] = _named(provenance, name)
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
