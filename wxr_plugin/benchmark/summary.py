"""Output of `wxr benchmark`: tables of results, the known sets and the known metrics."""

from collections.abc import Iterable
from math import isfinite
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

from wxr_plugin.benchmark.metrics import Metric, known_metrics
from wxr_plugin.benchmark.results import INPUT
from wxr_plugin.benchmark.sets import BenchmarkSet, known_sets
from wxr_plugin.utils.html import WORSE, WORSE_NOTE, is_worse

if TYPE_CHECKING:
    from wxr_plugin.benchmark.methods import Method
    from wxr_plugin.benchmark.run import Run

SHOWN = 20
"""Failures that are printed at most; rows.csv has all of them."""
ARROWS = {"higher": "↑", "lower": "↓"}


class _Figures(NamedTuple):
    """One row of a table: means of the metrics, None where there is none."""

    means: list[float | None]
    seconds_per_megapixel: float | None
    photos: int


def print_results(run: "Run") -> None:
    """Print a table for each set, notes for the reader, failures, and the path of rows.csv."""
    for test_set in run.plan.sets.values():
        _print(_table(run, test_set))
    print(f"bold: the best; {WORSE_NOTE}")
    for line in run.notes():
        print(line if line.startswith("overlap:") else f"note: {line}")
    for line in run.failures[:SHOWN]:
        print(f"failed: {line}")
    if len(run.failures) > SHOWN:
        print(f"… and {len(run.failures) - SHOWN} more, in the column error of rows.csv")
    print(f"{run.folder / 'rows.csv'}: a row for each photo")


def print_sets() -> None:
    """Print the known sets and the layouts in which their folders are recognised."""
    for name, known_set in known_sets().items():
        print(f"{name}: {known_set.title}, {known_set.count} photos, {known_set.task}")
        print(f"  {known_set.paper}\n  {known_set.source}")
        for layout in known_set.layouts:
            gt = f"->  {layout.gt}" if layout.gt else "(no ground truth)"
            print(f"  {layout.lq}  {gt}")
        for word, text in (("note", known_set.note), ("unsure", known_set.unsure)):
            if text:
                print(f"  {word}: {text}")


def print_metrics() -> None:
    """Print the known metrics and the blocks that their names stand for."""
    for name, metric in known_metrics().items():
        print(f"{name:<12} {metric.title:<14} {metric.better:<7} {metric.block}")


def _table(run: "Run", test_set: BenchmarkSet) -> Table:
    metrics = {
        name: metric
        for name, metric in run.plan.metrics.items()
        if test_set.has_gt or not metric.needs_gt
    }
    heads = [f"{metric.title} {ARROWS[metric.better]}" for metric in metrics.values()]
    table = Table("method", *heads, "s/MP", "photos")
    table.title = f"{test_set.title}, {len(test_set.photos)} photos"
    rows = {
        method.name: _figures(run, method, test_set, metrics)
        for method in run.plan.methods.values()
        if method.takes(test_set)
    }
    columns = zip(*(row.means for row in rows.values()))
    best = [_best(column, metric) for column, metric in zip(columns, metrics.values())]
    for name, row in rows.items():
        before = rows.get(INPUT)
        # Means over different numbers of photos cannot be compared.
        comparable = before is not None and before.photos == row.photos
        inputs = before.means if comparable else [None] * len(metrics)
        cells = [_cell(*figures) for figures in zip(row.means, metrics.values(), best, inputs)]
        seconds = row.seconds_per_megapixel
        time = "" if seconds is None else f"{seconds:.3g}"
        table.add_row(run.plan.methods[name].title, *cells, time, str(row.photos))
    return table


def _figures(
    run: "Run",
    method: "Method",
    test_set: BenchmarkSet,
    metrics: dict[str, Metric],
) -> _Figures:
    scored = run.scored(method, test_set)
    means = []
    for name, metric in metrics.items():
        photos = [""] if metric.of == "set" else list(scored.images)
        current = [photo for photo in photos if run.is_current(photo, name, scored)]
        scores = (float(scored.cells.scores[photo, name].value) for photo in current)
        values = [score for score in scores if isfinite(score)]
        means.append(fmean(values) if values else None)
    entries = [scored.cells.restored[photo] for photo in scored.images]
    timed = [entry for entry in entries if entry.seconds is not None]
    megapixels = sum(entry.width * entry.height for entry in timed) / 1e6
    speed = sum(entry.seconds for entry in timed) / megapixels if timed else None
    return _Figures(means, speed, len(scored.images))


def _best(means: Iterable[float | None], metric: Metric) -> float | None:
    choose = min if metric.better == "lower" else max
    return choose((value for value in means if value is not None), default=None)


def _cell(value: float | None, metric: Metric, best: float | None, before: float | None) -> str:
    """Return a figure with its marks.

    `before` is the figure of the input, None if it cannot be compared.
    """
    if value is None:
        return ""
    text = f"{value:.{metric.digits}f}"
    if before is not None and is_worse(value, before, metric.better, metric.digits):
        return f"[red]{text} {WORSE}[/red]"
    return f"[bold]{text}[/bold]" if value == best else text


def _print(table: Table) -> None:
    console = Console()
    # Off a terminal rich folds tables into 80 columns, which tools such as grep cannot read.
    (console if console.is_terminal else Console(width=240)).print(table)
