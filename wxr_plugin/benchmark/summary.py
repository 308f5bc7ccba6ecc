"""What `wxr benchmark` prints."""

from collections.abc import Iterable, Iterator
from math import isfinite
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from wxr_plugin.benchmark.metrics import Metric, known_metrics
from wxr_plugin.benchmark.results import INPUT
from wxr_plugin.benchmark.sets import BenchmarkSet, known_sets
from wxr_plugin.utils.html import WORSE, WORSE_NOTE, is_worse

if TYPE_CHECKING:
    from wxr_plugin.benchmark.run import Run

SHOWN = 20
"""Failures that are printed; rows.csv has them all."""


def print_results(run: "Run") -> None:
    """A table for each set, what a reader has to know, what failed, and where everything is."""
    for which in run.plan.sets.values():
        _print(_table(run, which))
    print(f"bold: the best; {WORSE_NOTE}")
    for line in run.notes():
        print(f"note: {line}" if not line.startswith("overlap:") else line)
    for line in run.failures[:SHOWN]:
        print(f"failed: {line}")
    if len(run.failures) > SHOWN:
        print(f"… and {len(run.failures) - SHOWN} more, in the column error of rows.csv")
    print(f"{run.folder / 'rows.csv'}: a row for each photo")


def print_sets() -> None:
    """The known sets and the folders that they are looked for in."""
    for name, known in known_sets().items():
        print(
            f"{name}: {known.title}, {known.count} photos, {known.task}\n  {known.paper}\n  "
            f"{known.source}"
        )
        for layout in known.layouts:
            print(f"  {layout.lq}" + (f"  ->  {layout.gt}" if layout.gt else "  (no ground truth)"))
        for word, text in (("note", known.note), ("unsure", known.unsure)):
            if text:
                print(f"  {word}: {text}")


def print_metrics() -> None:
    """The known metrics and the blocks that they stand for."""
    for name, metric in known_metrics().items():
        print(f"{name:<12} {metric.title:<14} {metric.better:<7} {metric.block}")


def _table(run: "Run", which: BenchmarkSet) -> Table:
    metrics = {
        name: each for name, each in run.plan.metrics.items() if which.has_gt or not each.needs_gt
    }
    arrows = {"higher": "↑", "lower": "↓"}
    table = Table(
        "method",
        *(f"{each.title} {arrows[each.better]}" for each in metrics.values()),
        "s/MP",
        "photos",
    )
    table.title = f"{which.title}, {len(which.photos)} photos"
    found = {
        method.name: list(_figures(run, method, which, metrics))
        for method in run.plan.methods.values()
        if method.takes(which)
    }
    best = [_best(column, metric, found.values()) for column, metric in enumerate(metrics.values())]
    for name, row in found.items():
        time, photos = row[len(metrics) :]
        same = (
            INPUT in found and found[INPUT][-1] == photos
        )  # else the means are over different photos
        before = found[INPUT] if same else [None] * len(row)
        cells = [_cell(*each) for each in zip(row, metrics.values(), best, before)]
        table.add_row(
            run.plan.methods[name].title, *cells, "" if time is None else f"{time:.3g}", str(photos)
        )
    return table


def _figures(
    run: "Run", method: Any, which: BenchmarkSet, metrics: dict[str, Metric]
) -> Iterator[float | None]:
    scored = run.scored(method, which)
    for name, metric in metrics.items():
        photos = [""] if metric.of == "set" else list(scored.images)
        known = [
            scored.cells.scores[photo, name]
            for photo in photos
            if run.is_current(photo, name, scored)
        ]
        values = [value for score in known if isfinite(value := float(score.value))]
        yield fmean(values) if values else None
    kept = [scored.cells.restored[photo] for photo in scored.images]
    timed = [each for each in kept if each.seconds is not None]
    area = sum(each.width * each.height for each in timed) / 1e6
    yield sum(each.seconds for each in timed) / area if timed else None
    yield len(scored.images)


def _best(column: int, metric: Metric, rows: Iterable[list]) -> float | None:
    values = [row[column] for row in rows if row[column] is not None]
    return (min if metric.better == "lower" else max)(values, default=None)


def _cell(value: float | None, metric: Metric, best: float | None, before: float | None) -> str:
    """Return a figure with its marks; `before` is that of the input, None where it cannot be compared."""
    if value is None:
        return ""
    text = f"{value:.{metric.digits}f}"
    if before is not None and is_worse(value, before, metric.better, metric.digits):
        return f"[red]{text} {WORSE}[/red]"
    return f"[bold]{text}[/bold]" if value == best else text


def _print(table: Table) -> None:
    console = Console()
    console.print(table) if console.is_terminal else Console(width=240).print(table)
