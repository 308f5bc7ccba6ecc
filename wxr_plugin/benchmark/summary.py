"""Output of `wxr benchmark`: tables of results, the known sets and the known metrics."""

from collections.abc import Iterable
from math import isfinite
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from wxr_plugin.benchmark.cells import Restored
from wxr_plugin.benchmark.metrics import Metric, known_metrics
from wxr_plugin.benchmark.results import INPUT
from wxr_plugin.benchmark.sets import BenchmarkSet, known_sets
from wxr_plugin.utils.html import WORSE, WORSE_NOTE, is_worse
from wxr_plugin.utils.tables import Cell, print_table

if TYPE_CHECKING:
    from wxr_plugin.benchmark.methods import Method
    from wxr_plugin.benchmark.run import Run, State

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
        _print_set(run, test_set)
    print(f"bold: the best; {WORSE_NOTE}")
    for line in run.notes():
        # The lines on overlaps name their kind themselves.
        is_overlap = line.startswith("overlap:")
        print(line if is_overlap else f"note: {line}")
    for line in run.failures[:SHOWN]:
        print(f"failed: {line}")
    count_of_others = len(run.failures) - SHOWN
    if count_of_others > 0:
        print(f"… and {count_of_others} more, in the column error of rows.csv")
    file = run.folder / "rows.csv"
    print(f"{file}: a row for each photo")


def print_sets() -> None:
    """Print the known sets and the layouts in which their folders are recognised."""
    for name, known_set in known_sets().items():
        print(f"{name}: {known_set.title}, {known_set.count} photos, {known_set.task}")
        print(f"  {known_set.paper}")
        print(f"  {known_set.source}")
        for layout in known_set.layouts:
            gt = f"->  {layout.gt}" if layout.gt else "(no ground truth)"
            print(f"  {layout.lq}  {gt}")
        if known_set.note:
            print(f"  note: {known_set.note}")
        if known_set.unsure:
            print(f"  unsure: {known_set.unsure}")


def print_metrics() -> None:
    """Print the known metrics and the blocks that their names stand for."""
    rows = []
    for name, metric in known_metrics().items():
        rows.append((name, metric.title, metric.better, str(metric.block)))
    print_table(["metric", "title", "better", "block"], rows)


def print_states(states: "Iterable[State]") -> None:
    """Print how many photos of each method and set are done, and why the others are not."""
    rows = []
    for state in states:
        reasons = [f"{number}: {reason}" for reason, number in state.reasons.items()]
        rows.append((state.method, state.set, f"{state.done}/{state.total}", "; ".join(reasons)))
    print_table(["method", "set", "done", "to restore"], rows, numbers=["done"])


def results(run: "Run") -> list[dict[str, Any]]:
    """Return the figures of each method on each set as plain values, for JSON."""
    figures = []
    for test_set in run.plan.sets.values():
        metrics = _metrics_of(run, test_set)
        for name, row in _rows(run, test_set, metrics).items():
            figures.append(
                {
                    "set": test_set.name,
                    "method": name,
                    "metrics": dict(zip(metrics, row.means)),
                    "seconds_per_megapixel": row.seconds_per_megapixel,
                    "photos": row.photos,
                }
            )
    return figures


def _print_set(run: "Run", test_set: BenchmarkSet) -> None:
    """Print the table of one set: a row for each method, a column for each metric."""
    metrics = _metrics_of(run, test_set)
    heads = [f"{metric.title} {ARROWS[metric.better]}" for metric in metrics.values()]
    rows = _rows(run, test_set, metrics)
    columns = zip(*(row.means for row in rows.values()))
    best = [_best(column, metric) for column, metric in zip(columns, metrics.values())]
    lines = []
    for name, row in rows.items():
        inputs = _comparable_means(rows.get(INPUT), row)
        cells = [_cell(*figures) for figures in zip(row.means, metrics.values(), best, inputs)]
        speed = row.seconds_per_megapixel
        time = "" if speed is None else f"{speed:.3g}"
        lines.append((run.plan.methods[name].title, *cells, time, str(row.photos)))
    title = f"{test_set.title}, {len(test_set.photos)} photos"
    numbers = [*heads, "s/MP", "photos"]
    print_table(["method", *numbers], lines, title, numbers)
    print()


def _rows(run: "Run", test_set: BenchmarkSet, metrics: dict[str, Metric]) -> dict[str, _Figures]:
    """Return the figures of each method that restores the set, keyed by its name."""
    rows = {}
    for method in run.plan.methods.values():
        if method.takes(test_set):
            rows[method.name] = _figures(run, method, test_set, metrics)
    return rows


def _metrics_of(run: "Run", test_set: BenchmarkSet) -> dict[str, Metric]:
    """Return the metrics of a set; without ground truth, those that need one are left out."""
    metrics = run.plan.metrics
    if test_set.has_gt:
        return metrics
    return {name: metric for name, metric in metrics.items() if not metric.needs_gt}


def _comparable_means(inputs: _Figures | None, row: _Figures) -> list[float | None]:
    """Return the means of the input, None for each if they cannot be compared with those of `row`.

    Means over different numbers of photos cannot.
    """
    if inputs is None or inputs.photos != row.photos:
        return [None] * len(row.means)
    return inputs.means


def _figures(
    run: "Run",
    method: "Method",
    test_set: BenchmarkSet,
    metrics: dict[str, Metric],
) -> _Figures:
    scored = run.scored(method, test_set)
    restored = scored.cells.restored
    means = []
    for name, metric in metrics.items():
        # The value of a whole set is recorded for the photo "".
        photos = [""] if metric.of == "set" else list(scored.images)
        scores = []
        for photo in photos:
            # A score of an earlier image or of other options does not count.
            if run.is_current(photo, name, scored):
                entry = scored.cells.scores[photo, name]
                scores.append(float(entry.value))
        values = [score for score in scores if isfinite(score)]
        mean = fmean(values) if values else None
        means.append(mean)
    entries = [restored[photo] for photo in scored.images]
    speed = _seconds_per_megapixel(entries)
    return _Figures(means, speed, len(scored.images))


def _seconds_per_megapixel(entries: Iterable[Restored]) -> float | None:
    """Return the time of all timed photos by their megapixels; None if none was timed."""
    timed = [entry for entry in entries if entry.seconds is not None]
    if not timed:
        return None
    seconds = sum(entry.seconds for entry in timed)
    megapixels = sum(entry.width * entry.height for entry in timed) / 1e6
    return seconds / megapixels


def _best(means: Iterable[float | None], metric: Metric) -> float | None:
    values = [value for value in means if value is not None]
    choose = min if metric.better == "lower" else max
    return choose(values, default=None)


def _cell(value: float | None, metric: Metric, best: float | None, before: float | None) -> Cell:
    """Return a figure with its mark and style.

    `before` is the figure of the input, None if it cannot be compared.
    """
    if value is None:
        return ""
    text = f"{value:.{metric.digits}f}"
    # A figure that is worse than the photo itself is no success, even if it is the best.
    if before is not None and is_worse(value, before, metric.better, metric.digits):
        return f"{text} {WORSE}", "red"
    return text, "bold" if value == best else ""
