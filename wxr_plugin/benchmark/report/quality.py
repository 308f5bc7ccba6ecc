"""The tables of a benchmark, laid out as papers lay them out."""

import math
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

from wxr_plugin.benchmark.published import Figure, published
from wxr_plugin.benchmark.report.tables import counted, names_of, title
from wxr_plugin.benchmark.results import INPUT, Results
from wxr_plugin.benchmark.tables import Cell, Heading, Table, difference, figure_text, rank
from wxr_plugin.utils.html import WORSE_NOTE, is_worse

OVERALL = "Overall"
WIDEST = 16
"""Columns of a table; metrics that do not fit go to a table of their own."""
PARTIAL = (
    "† is the mean of fewer images than the set has. Where methods differ in how many they have, "
    "only those with the "
    "most can be best or second."
)


class _Group(NamedTuple):
    """Sets that share a table, and the metrics of one table."""

    title: str
    sets: list[str]
    metrics: list[str]


class _Found(NamedTuple):
    """A cell, its value, and how many images that is the mean of."""

    cell: Cell
    value: float
    count: int


def quality_tables(results: Results) -> list[Table]:
    """A table for photos without ground truth, one for each task of the pairs, and the averages over all pairs.

    Methods are rows, sets × metrics are columns, with the average over the sets where there are
    several.
    """
    pairs = [name for name in results.sets if _has_gt(results, name)]
    tables = [_table(results, group) for group in _groups(results, pairs)]
    if len({results.sets[name].task for name in pairs}) > 1:
        shared = [
            key for key in results.metrics if all(results.applies(name, key) for name in pairs)
        ]
        tables += [_averages(results, pairs, shared)] if shared else []
    return tables


def _groups(results: Results, pairs: Sequence[str]) -> Iterator[_Group]:
    real = [name for name in results.sets if name not in pairs]
    tasks = list(dict.fromkeys(results.sets[name].task or "" for name in pairs))
    by_task = {
        task: [name for name in pairs if (results.sets[name].task or "") == task] for task in tasks
    }
    for words, sets in [("Photos without ground truth", real), *by_task.items()]:
        kinds = [
            [key for key, metric in results.metrics.items() if metric.needs_gt is needs]
            for needs in (True, False)
        ]
        for keys, kind in zip(kinds, ("full reference", "no reference")):
            measured = [key for key in keys if any(results.applies(name, key) for name in sets)]
            head = words if sets is real else f"{(words or 'Pairs').capitalize()}, {kind}"
            parts = _parts(measured, len(sets) + (len(sets) > 1))
            for number, part in enumerate(parts, 1):
                yield _Group(head if len(parts) == 1 else f"{head}, part {number}", sets, part)


def _parts(metrics: list[str], groups: int) -> list[list[str]]:
    """The metrics of each table: as few tables as WIDEST allows, alike in length."""
    count = math.ceil(len(metrics) / max(WIDEST // groups, 1)) if metrics else 0
    size = math.ceil(len(metrics) / count) if count else 1
    return [metrics[start : start + size] for start in range(0, len(metrics), size)]


def _table(results: Results, group: _Group) -> Table:
    columns = [(name, key) for name in group.sets for key in group.metrics]
    averaged = len(group.sets) > 1
    found = {
        method: [_cell(results, method, *column) for column in columns]
        for method in results.methods
    }
    if averaged:
        for method, cells in found.items():
            cells += [_average(results, method, group.sets, key) for key in group.metrics]
    heads = [
        _heading(results, key) for _ in range(len(group.sets) + averaged) for key in group.metrics
    ]
    groups = [(_heading_of(results, name), len(group.metrics)) for name in group.sets]
    groups += [(OVERALL, len(group.metrics))] if averaged else []
    return _ranked(
        results, Table(group.title, heads, [], groups), found, group.metrics * len(groups)
    )


def _averages(results: Results, pairs: list[str], metrics: list[str]) -> Table:
    found = {
        method: [_average(results, method, pairs, key) for key in metrics]
        for method in results.methods
    }
    heads, groups = (
        [_heading(results, key) for key in metrics],
        [(f"Average of {len(pairs)} sets", len(metrics))],
    )
    return _ranked(results, Table("All pairs", heads, [], groups), found, metrics)


def _ranked(
    results: Results, table: Table, found: dict[str, list[_Found]], metrics: list[str]
) -> Table:
    """The table with its rows and notes.

    `found` has the cells of each method, `metrics` those of columns.
    """
    for place, (heading, key) in enumerate(zip(table.columns, metrics)):
        column = [found[method][place] for method in results.methods]
        most = max(
            (found[method][place].count for method in results.methods if method != INPUT), default=0
        )
        whole = [each for each in column if each.count == most]
        rank(
            [each.cell for each in whole],
            [each.value for each in whole],
            heading,
            results.metrics[key].digits,
        )
    table.rows = [
        (title(results, method), [each.cell for each in row]) for method, row in found.items()
    ]
    shown = [cell for _, cells in table.rows for cell in cells]
    overall = (
        ["Overall is the unweighted mean of the sets."]
        if any(name == OVERALL for name, _ in table.groups)
        else []
    )
    partial = [PARTIAL] if any(cell.partial for cell in shown) else []
    worse = [WORSE_NOTE] if any(cell.worse for cell in shown) else []
    table.notes = [*overall, *partial, *worse]
    return table


def _cell(results: Results, method: str, name: str, key: str) -> _Found:
    mean, digits = results.mean(method, name, key), results.metrics[key].digits
    if not mean.count:
        return _Found(Cell(), math.nan, 0)
    worse = _is_worse(results, method, [name], key, mean.value)
    cell = Cell(
        figure_text(mean.value, digits), worse=worse, partial=mean.missing > 0, count=mean.count
    )
    who = results.methods[method].zoo, title(results, method)
    return _Found(
        _compared(cell, mean.value, digits, published().find(*who, names_of(results, name), key)),
        *mean[:2],
    )


def _average(results: Results, method: str, sets: list[str], key: str) -> _Found:
    value, digits = results.average(method, sets, key), results.metrics[key].digits
    means = [results.mean(method, name, key) for name in sets]
    if not math.isfinite(value):
        return _Found(Cell(), math.nan, 0)
    worse = _is_worse(results, method, sets, key, value)
    cell = Cell(
        figure_text(value, digits), worse=worse, partial=any(mean.missing for mean in means)
    )
    who = results.methods[method].zoo, title(results, method)
    figure = published().find_average(*who, [names_of(results, name) for name in sets], key)
    return _Found(_compared(cell, value, digits, figure), value, sum(mean.count for mean in means))


def _is_worse(results: Results, method: str, sets: list[str], key: str, value: float) -> bool:
    """Return whether a mean over `sets` is worse than the input's over the same images."""
    if method == INPUT or INPUT not in results.methods:
        return False
    metric = results.metrics[key]
    baseline = fmean(results.baseline(method, name, key) for name in sets)
    return is_worse(value, baseline, metric.better, metric.digits)


def _compared(cell: Cell, value: float, digits: int, figure: Figure | None) -> Cell:
    if figure:
        cell.published, cell.difference = figure, difference(value, digits, figure)
    return cell


def _heading(results: Results, key: str) -> Heading:
    return Heading(results.metrics[key].title or key, results.metrics[key].better)


def _heading_of(results: Results, name: str) -> str:
    each = results.sets[name]
    label = each.title or name
    return counted(
        label if not each.task or _has_gt(results, name) else f"{each.task.capitalize()}: {label}",
        each.count,
    )


def _has_gt(results: Results, name: str) -> bool:
    return results.sets[name].gt is not None
