"""Output of `wxr label`: progress, summaries, tables and CSV files."""

import math
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

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
from wxr_plugin.vlm.rater import RATING_WORDS

COLUMNS = ("kind", "image", "rating", "text", "model", "prompt", "time")
DETAILS = (*RATING_WORDS, "source", "attempts", "iteration", "weights", "dtype", "content")
EXTREMES = 3
"""Number of the worst, and of the best, photos that a summary names."""


def print_ratings(store: LabelStore, task: LabelTask, tally: Tally) -> None:
    """Print mean, histogram, worst and best of the photos that were just labelled."""
    rows = [row for photo in tally.seen if (row := store.get_rating(*photo, task.provenance))]
    if not rows:
        return
    rows.sort(key=lambda row: row.rating)
    ratings = [row.rating for row in rows]
    print(f"mean rating {sum(ratings) / len(ratings):.3f} over {len(ratings)} photos")
    for line in histogram(ratings):
        print(line)
    print(f"worst: {_listed(rows[:EXTREMES])}")
    print(f"best:  {_listed(rows[::-1][:EXTREMES])}")


def print_descriptions(store: LabelStore, task: LabelTask, tally: Tally) -> None:
    """Print the first few descriptions of the photos that were just labelled."""
    rows = (store.get_description(*photo, task.provenance) for photo in tally.seen)
    for row in islice(filter(None, rows), EXTREMES):
        print(f"{row.key}: {row.text}")


def print_rewrites(store: LabelStore, provenance: dict[str, Any], tally: Tally) -> None:
    """Print the first few descriptions with their rewrites, and photos without a description."""
    newest = store.descriptions()
    rows = (store.get_rewrite(key, newest[key].text, provenance) for key, _ in tally.seen)
    for row in islice(filter(None, rows), EXTREMES):
        print(f"{row.key}: {row.source}\n  -> {row.text}")
    if missing := without_description(store):
        names = ", ".join(missing[:EXTREMES]) + (", …" if len(missing) > EXTREMES else "")
        print(f"without description: {len(missing)} ({names}); `wxr label describe` makes them")


def print_tally(store: LabelStore, tally: Tally, asked_about: str = "photos") -> None:
    """Print the failures, then the counts in one line."""
    for line in tally.failed:
        print(f"failed: {line}")
    if any(line.endswith("(earlier)") for line in tally.failed):
        print("--retry-failed tries again what failed earlier")
    asked = f"asked about {tally.asked} {asked_about} in {tally.calls} model calls"
    print(f"{store.path}: {asked}, reused {tally.reused}, failed {len(tally.failed)}")


def histogram(ratings: list[float], width: int = 40) -> list[str]:
    """Return a line with a bar for each half point from 1 to 5; the longest has `width` signs."""
    counts = [0] * 8
    for rating in ratings:
        counts[min(int((rating - 1) * 2), 7)] += 1  # 5 itself belongs to the last interval
    scale = width / max(counts)
    lines = []
    for index, count in enumerate(counts):
        start = 1 + index / 2
        length = max(round(count * scale), count > 0)  # at least one sign for a count above 0
        lines.append(f"  {start:.1f}-{start + 0.5:.1f} {'█' * length} {count}")
    return lines


def rows(store: LabelStore) -> list[dict[str, Any]]:
    """Return all labels of `store` as flat rows with COLUMNS and DETAILS, by image and time."""
    provenances = store.provenances()
    labels = [*store.answers(), *store.pseudo_index().values()]
    flat = [_flat(label, provenances) for label in labels]
    return sorted(flat, key=lambda row: (row["image"], row["time"]))


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table, without time and DETAILS."""
    columns = COLUMNS[:-1]
    table = Table(*columns)
    for row in rows:
        table.add_row(*(_text(row.get(name)) for name in columns))
    print_table(table)
    print(f"{len(rows)} rows")


def print_table(table: Table) -> None:
    """Print `table` as wide as the terminal, or wide enough for whole lines in a file."""
    # Rich folds a table into 80 columns when its output goes to a file, which breaks grep.
    console = Console()
    if not console.is_terminal:
        console = Console(width=240)
    console.print(table)


def write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the rows with every column to the CSV file `path`."""
    files.write_text(path, dicts_to_csv((*COLUMNS, *DETAILS), rows))


def _listed(rows: list[Rating]) -> str:
    return ", ".join(f"{row.key} {row.rating:.2f}" for row in rows)


def _flat(label: Answer | PseudoInfo, provenances: dict[str, dict[str, Any]]) -> dict[str, Any]:
    rater = label.rater if isinstance(label, PseudoInfo) else label.provenance
    digest, _, _ = rater.partition("@")  # of a rating in surroundings
    provenance = provenances.get(digest, {})
    row = {name: _named(provenance, name) for name in ("model", "prompt", "weights", "dtype")}
    row["image"] = label.key
    row["time"] = datetime.fromtimestamp(label.time).isoformat(timespec="seconds")
    row["content"] = label.content
    match label:
        case Rating():
            row |= {"kind": "rating", "rating": label.rating}
            # Raters without logits store NaN; their cells stay empty.
            logits = zip(RATING_WORDS, label.logits)
            row |= {word: value for word, value in logits if not math.isnan(value)}
            row |= {} if label.iteration is None else {"iteration": label.iteration}
        case Description():
            row |= {"kind": "description", "text": label.text}
        case Rewrite():
            row |= {"kind": "rewrite", "text": label.text, "source": label.source}
        case Failure():
            row |= {"kind": "failure", "text": label.reason, "attempts": label.attempts}
        case PseudoInfo():
            row |= {"kind": "pseudo-label", "rating": label.rating, "text": label.source}
            row |= {"iteration": label.iteration}
    return row


def _named(provenance: dict[str, Any], name: str) -> str:
    """Return an entry of a provenance; for a panel, those of its raters.

    A task without a model is named by its type.
    """
    if provenance.get("type") == "panel":
        return " + ".join(_named(rater, name) for rater in provenance["raters"])
    return str(provenance.get(name, provenance.get("type", "") if name == "model" else ""))


def _text(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value or "")
