"""What `wxr label` prints and writes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
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
"""How many of the worst and of the best photos a summary names."""


@contextmanager
def bar(title: str, total: int) -> Iterator[Callable[[int, object], None]]:
    """A progress bar with counts beside it, as the function that stages call: how many more are done, the counts."""
    counts = TextColumn("{task.fields[counts]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), counts)
    with Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)
    ) as progress:
        task = progress.add_task(title, total=total, counts="")

        def advance(done: int, counts: object) -> None:
            progress.update(task, advance=done, counts=str(counts))

        yield advance


def print_ratings(store: LabelStore, task: LabelTask, tally: Tally) -> None:
    """Mean, histogram, worst and best of the photos just seen."""
    found = [row for photo in tally.seen if (row := store.get_rating(*photo, task.provenance))]
    if not found:
        return
    found.sort(key=lambda row: row.rating)
    print(
        f"mean rating {sum(row.rating for row in found) / len(found):.3f} over {len(found)} photos"
    )
    for line in histogram([row.rating for row in found]):
        print(line)
    print("worst: " + ", ".join(f"{row.key} {row.rating:.2f}" for row in found[:EXTREMES]))
    print("best:  " + ", ".join(f"{row.key} {row.rating:.2f}" for row in found[::-1][:EXTREMES]))


def print_descriptions(store: LabelStore, task: LabelTask, tally: Tally) -> None:
    """The first few descriptions of the photos just seen."""
    found = (row for photo in tally.seen if (row := store.get_description(*photo, task.provenance)))
    for row, _ in zip(found, range(EXTREMES)):
        print(f"{row.key}: {row.text}")


def print_rewrites(store: LabelStore, provenance: dict[str, Any], tally: Tally) -> None:
    """The first few pairs of a description and its rewrite, and which photos have no description at all."""
    newest = store.descriptions()
    found = (store.get_rewrite(key, newest[key].text, provenance) for key, _ in tally.seen)
    for row, _ in zip((row for row in found if row), range(EXTREMES)):
        print(f"{row.key}: {row.source}\n  -> {row.text}")
    if without := without_description(store):
        names = ", ".join(without[:EXTREMES]) + (", …" if len(without) > EXTREMES else "")
        print(f"without description: {len(without)} ({names}); `wxr label describe` makes them")


def print_tally(store: LabelStore, tally: Tally, asked_about: str = "photos") -> None:
    """What failed, then the counts in one line."""
    for line in tally.failed:
        print(f"failed: {line}")
    if any(line.endswith("(earlier)") for line in tally.failed):
        print("--retry-failed tries again what failed earlier")
    counts = f"asked about {tally.asked} {asked_about} in {tally.calls} model calls, reused {tally.reused}"
    print(f"{store.path}: {counts}, failed {len(tally.failed)}")


def histogram(ratings: list[float], width: int = 40) -> list[str]:
    """One line for each half point from 1 to 5, with a bar; the longest has `width` characters."""
    counts = [0] * 8
    for rating in ratings:
        counts[min(int((rating - 1) * 2), 7)] += 1
    scale = width / max(counts)
    bars = ["█" * max(round(count * scale), count > 0) for count in counts]
    return [
        f"  {1 + i / 2:.1f}-{1.5 + i / 2:.1f} {bars[i]} {count}" for i, count in enumerate(counts)
    ]


def rows(store: LabelStore) -> list[dict[str, Any]]:
    """Everything in `store` as flat rows with COLUMNS and DETAILS, by image."""
    asked = store.provenances()
    labels = [*store.answers(), *store.pseudo_index().values()]
    return sorted(
        (_flat(label, asked) for label in labels), key=lambda row: (row["image"], row["time"])
    )


def print_rows(rows: list[dict[str, Any]]) -> None:
    """The rows as a table, without DETAILS."""
    table = Table(*COLUMNS[:4], *COLUMNS[4:6])
    for row in rows:
        table.add_row(*(_text(row.get(name)) for name in COLUMNS[:6]))
    # Rich folds a table into 80 columns when its output goes to a file; a reader with grep wants
    # whole lines.
    console = Console()
    console.print(table) if console.is_terminal else Console(width=240).print(table)
    print(f"{len(rows)} rows")


def write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    """Replace `path` by the rows with every column."""
    files.write_text(path, dicts_to_csv((*COLUMNS, *DETAILS), rows))


def _flat(label: Answer | PseudoInfo, asked: dict[str, dict[str, Any]]) -> dict[str, Any]:
    provenance = asked.get(label.rater if isinstance(label, PseudoInfo) else label.provenance, {})
    row = {name: _named(provenance, name) for name in ("model", "prompt", "weights", "dtype")}
    row |= {
        "image": label.key,
        "time": datetime.fromtimestamp(label.time).isoformat(timespec="seconds"),
    }
    match label:
        case Rating():
            logits = {
                word: value for word, value in zip(RATING_WORDS, label.logits) if value == value
            }
            return (
                row | logits | {"kind": "rating", "rating": label.rating, "content": label.content}
            )
        case Description():
            return row | {"kind": "description", "text": label.text, "content": label.content}
        case Rewrite():
            return row | {
                "kind": "rewrite",
                "text": label.text,
                "source": label.source,
                "content": label.content,
            }
        case Failure():
            row |= {"kind": "failure", "text": label.reason, "attempts": label.attempts}
            return row | {"content": label.content}
        case PseudoInfo():
            row |= {"kind": "pseudo-label", "rating": label.rating, "text": label.source}
            return row | {"iteration": label.iteration}


def _named(provenance: dict[str, Any], name: str) -> str:
    """An entry of a provenance; of a panel's those of its raters, and where an task has no model, its type."""
    if provenance.get("type") == "panel":
        return " + ".join(_named(rater, name) for rater in provenance["raters"])
    return str(provenance.get(name, provenance.get("type", "") if name == "model" else ""))


def _text(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value or "")
