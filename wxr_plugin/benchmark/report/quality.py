"""The tables of metrics of a benchmark, in the layout of papers."""

import math
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

from wxr_plugin.benchmark.published import Figure, published
from wxr_plugin.benchmark.report.tables import counted, names_of, title
from wxr_plugin.benchmark.results import INPUT, Results
from wxr_plugin.benchmark.tables import Cell, Heading, Table, difference, figure_text, rank
from wxr_plugin.utils.grouping import group_by
from wxr_plugin.utils.html import WORSE_NOTE, is_worse

OVERALL = "Overall"
WIDEST = 16
"""Columns of a table at most; metrics that do not fit go to a table of their own."""
PARTIAL = (
    "† is the mean of fewer images than the set has. Where methods differ in the number of "
    "images, only those with the most can be best or second."
)


class _Group(NamedTuple):
    """Sets that share a table, and the metrics of one table."""

    title: str
    sets: list[str]
    metrics: list[str]


class _Measured(NamedTuple):
    """A cell, its value, and the number of images that this is the mean of."""

    cell: Cell
    value: float
    count: int


def quality_tables(results: Results) -> list[Table]:
    """Return the tables of metrics: photos without ground truth, pairs by task, and averages.

    Methods are rows, sets × metrics are columns, with the average over the sets where there are
    several.
    """
    pairs = [name for name in results.sets if _has_gt(results, name)]
    tables = [_table(results, group) for group in _groups(results, pairs)]
    tasks = {results.sets[name].task for name in pairs}
    # The sets of one task have their average in the table of the task.
    if len(tasks) > 1:
        shared = [key for key in results.metrics if _applies_to_all(results, pairs, key)]
        if shared:
            tables.append(_averages(results, pairs, shared))
    return tables


def _applies_to_all(results: Results, sets: Sequence[str], key: str) -> bool:
    return all(results.applies(name, key) for name in sets)


def _applies_to_any(results: Results, sets: Sequence[str], key: str) -> bool:
    return any(results.applies(name, key) for name in sets)


def _groups(results: Results, pairs: Sequence[str]) -> Iterator[_Group]:
    """Yield the sets and metrics of each table: by task, then by kind of metric, then by width."""
    real = [name for name in results.sets if name not in pairs]
    by_task = group_by(pairs, lambda name: results.sets[name].task or "")
    kinds = [("full reference", True), ("no reference", False)]
    for task, sets in [(None, real), *by_task.items()]:
        for kind, needs_gt in kinds:
            measured = []
            for key, metric in results.metrics.items():
                if metric.needs_gt is needs_gt and _applies_to_any(results, sets, key):
                    measured.append(key)
            head = "Photos without ground truth"
            if task is not None:
                label = task or "Pairs"
                head = f"{label.capitalize()}, {kind}"
            groups = len(sets)
            if groups > 1:
                # The average over several sets is one more group of columns.
                groups += 1
            parts = _parts(measured, groups)
            for number, part in enumerate(parts, 1):
                part_head = head
                if len(parts) > 1:
                    part_head = f"{head}, part {number}"
                yield _Group(part_head, sets, part)


def _parts(metrics: list[str], groups: int) -> list[list[str]]:
    """Split the metrics into as few tables as WIDEST allows, of about equal width."""
    if not metrics:
        return []
    # With many sets even one metric is wider than WIDEST.
    most = max(WIDEST // groups, 1)
    count = math.ceil(len(metrics) / most)
    size = math.ceil(len(metrics) / count)
    return [metrics[start : start + size] for start in range(0, len(metrics), size)]


def _table(results: Results, group: _Group) -> Table:
    columns = [(name, key) for name in group.sets for key in group.metrics]
    headings = [_set_heading(results, name) for name in group.sets]
    averaged = len(group.sets) > 1
    if averaged:
        headings.append(OVERALL)
    rows = {}
    for method in results.methods:
        cells = []
        for name, key in columns:
            cells.append(_cell(results, method, name, key))
        if averaged:
            for key in group.metrics:
                cells.append(_average(results, method, group.sets, key))
        rows[method] = cells
    span = len(group.metrics)
    groups = [(heading, span) for heading in headings]
    metrics = group.metrics * len(groups)
    heads = [_heading(results, key) for key in metrics]
    table = Table(group.title, heads, [], groups)
    return _ranked(results, table, rows, metrics)


def _averages(results: Results, pairs: list[str], metrics: list[str]) -> Table:
    rows = {}
    for method in results.methods:
        rows[method] = [_average(results, method, pairs, key) for key in metrics]
    heads = [_heading(results, key) for key in metrics]
    groups = [(f"Average of {len(pairs)} sets", len(metrics))]
    table = Table("All pairs", heads, [], groups)
    return _ranked(results, table, rows, metrics)


def _ranked(
    results: Results,
    table: Table,
    rows: dict[str, list[_Measured]],
    metrics: list[str],
) -> Table:
    """Return `table` with rows, ranks and notes.

    Args:
        results: the benchmark.
        table: headings without rows; changed in place.
        rows: the cells of each method.
        metrics: the metric of each column.
    """
    for place, (heading, key) in enumerate(zip(table.columns, metrics)):
        column = {method: cells[place] for method, cells in rows.items()}
        # The input exists for every photo, so its number says nothing about the methods.
        counts = [measured.count for name, measured in column.items() if name != INPUT]
        most = max(counts, default=0)
        # Means over fewer images than others cannot be compared, so they get no rank.
        whole = [measured for measured in column.values() if measured.count == most]
        cells = [measured.cell for measured in whole]
        values = [measured.value for measured in whole]
        digits = results.metrics[key].digits
        rank(cells, values, heading, digits)
    for method, row in rows.items():
        cells = [measured.cell for measured in row]
        table.rows.append((title(results, method), cells))
    table.notes = _notes(table)
    return table


def _notes(table: Table) -> list[str]:
    cells = []
    for _, row in table.rows:
        cells += row
    notes = []
    if any(name == OVERALL for name, _ in table.groups):
        notes.append("Overall is the unweighted mean of the sets.")
    if any(cell.partial for cell in cells):
        notes.append(PARTIAL)
    if any(cell.worse for cell in cells):
        notes.append(WORSE_NOTE)
    return notes


def _cell(results: Results, method: str, name: str, key: str) -> _Measured:
    """Return the mean of a method on one set."""
    mean = results.mean(method, name, key)
    if not mean.count:
        return _Measured(Cell(), math.nan, 0)
    digits = results.metrics[key].digits
    cell = Cell(figure_text(mean.value, digits))
    cell.partial = mean.missing > 0
    cell.count = mean.count
    cell.worse = _is_worse(results, method, [name], key, mean.value)
    zoo = results.methods[method].zoo
    label = title(results, method)
    figure = published().find(zoo, label, names_of(results, name), key)
    cell = _compared(cell, mean.value, digits, figure)
    return _Measured(cell, mean.value, mean.count)


def _average(results: Results, method: str, sets: list[str], key: str) -> _Measured:
    """Return the unweighted mean of a method over several sets."""
    value = results.average(method, sets, key)
    if not math.isfinite(value):
        return _Measured(Cell(), math.nan, 0)
    digits = results.metrics[key].digits
    means = [results.mean(method, name, key) for name in sets]
    cell = Cell(figure_text(value, digits))
    cell.partial = any(mean.missing for mean in means)
    cell.worse = _is_worse(results, method, sets, key, value)
    zoo = results.methods[method].zoo
    label = title(results, method)
    names = [names_of(results, name) for name in sets]
    figure = published().find_average(zoo, label, names, key)
    cell = _compared(cell, value, digits, figure)
    count = sum(mean.count for mean in means)
    return _Measured(cell, value, count)


def _is_worse(results: Results, method: str, sets: list[str], key: str, value: float) -> bool:
    """Return whether a mean over `sets` is worse than the input's over the same images."""
    if method == INPUT or INPUT not in results.methods:
        return False
    metric = results.metrics[key]
    baseline = fmean(results.baseline(method, name, key) for name in sets)
    return is_worse(value, baseline, metric.better, metric.digits)


def _compared(cell: Cell, value: float, digits: int, figure: Figure | None) -> Cell:
    """Return `cell` with its published figure and the difference, if there is one."""
    if figure:
        cell.published = figure
        cell.difference = difference(value, digits, figure)
    return cell


def _heading(results: Results, key: str) -> Heading:
    metric = results.metrics[key]
    return Heading(metric.title or key, metric.better)


def _set_heading(results: Results, name: str) -> str:
    image_set = results.sets[name]
    label = image_set.title or name
    # Tables of pairs have their task in the title; one of photos may mix tasks.
    if image_set.task and not _has_gt(results, name):
        label = f"{image_set.task.capitalize()}: {label}"
    return counted(label, image_set.count)


def _has_gt(results: Results, name: str) -> bool:
    return results.sets[name].gt is not None
