"""How good the network of each stage is: on real photos, and in the validation of its training."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, NamedTuple

from wxr_plugin.benchmark.tables import Cell, Heading, figure_text, rank
from wxr_plugin.benchmark.tables import Table as PageTable
from wxr_plugin.options.nested import block
from wxr_plugin.utils.csv_text import read_dicts
from wxr_plugin.utils.grouping import group_means
from wxr_plugin.utils.html import WORSE, is_worse
from wxr_plugin.utils.tables import print_table
from wxr_plugin.wresvlm.options import REAL
from wxr_plugin.wresvlm.report.measuring import INPUT, Row, steps
from wxr_plugin.wresvlm.settings import Settings

ALL = "all"
GROUPS = (*REAL, "clear", "unknown", ALL)
"""Weather types of photos in the order of columns."""
DIGITS = 3
OF_INPUT = f"_{INPUT}"
"""End of the columns of a validation's table that hold the metrics of the degraded images."""
NO_TITLES: Mapping[str, str] = {}
Table = tuple[list[str], list[list[str]]]
"""Header and rows, as plain text."""


class Scores(NamedTuple):
    """One measure over the steps of a run."""

    title: str
    values: dict[str, dict[str, float]]
    """Step -> weather -> mean.

    `overall` is the unweighted mean over rain, haze and snow, as in the paper, whatever the
    number of photos of each."""
    better: Literal["higher", "lower"] = "higher"
    """The metric's own `better`."""

    def table(self, titles: Mapping[str, str] = NO_TITLES) -> PageTable:
        """Return a table with a row a step and a column a weather, its best and second marked.

        `titles` rename steps.
        """
        columns = [name for means in self.values.values() for name in means]
        weathers = list(dict.fromkeys(columns))
        headings = [Heading(weather, self.better) for weather in weathers]
        baseline = self.values.get(INPUT, {})
        table = PageTable(self.title, headings, [], corner="stage")
        for step, means in self.values.items():
            cells = []
            for weather in weathers:
                cell = self._cell(means.get(weather), baseline.get(weather))
                cells.append(cell)
            table.rows.append((titles.get(step, step), cells))
        # A column is ranked when all of its rows are there.
        for place, heading in enumerate(headings):
            self._rank_column(table, place, heading)
        return table

    def _rank_column(self, table: PageTable, place: int, heading: Heading) -> None:
        """Mark the best and the second of the column at `place`."""
        column = []
        for _, cells in table.rows:
            column.append(cells[place])
        figures = []
        for means in self.values.values():
            mean = means.get(heading.title, math.nan)
            figures.append(mean)
        rank(column, figures, heading, DIGITS)

    def _cell(self, value: float | None, baseline: float | None) -> Cell:
        """Return the cell of a mean; `baseline` is that of the input, None where it has none."""
        if value is None:
            return Cell()
        text = figure_text(value, DIGITS)
        if baseline is None:
            return Cell(text)
        is_marked = is_worse(value, baseline, self.better, DIGITS)
        return Cell(text, worse=is_marked)


def print_figures(table: PageTable) -> None:
    """Print the table on stdout: * marks the best of a column, ▼ is worse than the input."""
    titles = [heading.title for heading in table.columns]
    rows = []
    for name, cells in table.rows:
        rows.append([name, *map(_marked, cells)])
    print_table([table.corner, *titles], rows, table.title, numbers=titles)


def _marked(cell: Cell) -> tuple[str, str]:
    """Return a cell's text with its mark, and its style on a terminal."""
    text = cell.text
    if cell.rank == "best":
        text = f"*{text}"
    if cell.worse:
        return f"{text} {WORSE}", "red"
    return text, "bold" if cell.rank == "best" else ""


def of_photos(rows: Sequence[Row], metrics: Mapping[str, Mapping]) -> list[Scores]:
    """Return each measure of the real photos; a photo counts if it was measured at every step.

    `metrics` are the blocks of the measures that have one.
    """
    scores = []
    # Every row has the same steps: a photo that a network failed on has no row.
    files = rows[0]["files"] if rows else {}
    shown = [INPUT, *files]
    for name in measures(rows):
        complete = [row for row in rows if _is_complete(row, name, shown)]
        if not complete:
            continue
        means = {}
        for step in shown:
            means[step] = _means_of_step(complete, step, name)
        measure = Scores(name, means, better(metrics, name))
        scores.append(measure)
    return scores


def _means_of_step(rows: Sequence[Row], step: str, name: str) -> dict[str, float]:
    """Return weather -> mean of the measure `name` at one step."""
    pairs = []
    for row in rows:
        value = row["values"][step][name]
        pairs.append((row["weather"], value))
    return by_weather(pairs)


def _is_complete(row: Row, name: str, shown: Sequence[str]) -> bool:
    values = row["values"]
    for step in shown:
        of_step = values.get(step, {})
        if name not in of_step:
            return False
    return True


def measures(rows: Sequence[Row]) -> list[str]:
    """Return the names of all measures of the real photos."""
    # A dict keeps the order in which names were first seen.
    names: dict[str, None] = {}
    for row in rows:
        for of_step in row["values"].values():
            names |= dict.fromkeys(of_step)
    return list(names)


def better(metrics: Mapping[str, Mapping], name: str) -> Literal["higher", "lower"]:
    """Return which end of a measure is the good one; `metrics` may have a block for it."""
    options = block(metrics, name)
    return options.get("better", "higher")


def of_validation(settings: Settings, stages: Sequence[str]) -> list[Scores]:
    """Return the last validation of each training, one for each set and metric."""
    scores: dict[tuple[str, str], Scores] = {}
    for stage in steps(settings, stages):
        # `start` is a step without a training of this run, so it has no validation.
        if stage not in stages:
            continue
        opt = settings.supervised if stage == "supervised" else settings.train
        experiment = settings.experiment(stage)
        default_metrics = block(opt, "val", "metrics")
        for dataset in _validation_sets(opt):
            metrics = dataset.get("metrics", default_metrics) or {}
            measured = _validated(experiment, dataset)
            _add_validation(scores, stage, dataset["name"], measured, metrics)
    return list(scores.values())


def _add_validation(
    scores: dict[tuple[str, str], Scores],
    stage: str,
    set_name: str,
    measured: Mapping[str, dict[str, float]],
    metrics: Mapping[str, Mapping],
) -> None:
    """Add the means of one stage on one set to the scores by set and metric."""
    for metric, means in measured.items():
        if metric.endswith(OF_INPUT):
            continue
        title = f"{metric}, {set_name}"
        empty = Scores(title, {}, better(metrics, metric))
        values = scores.setdefault((set_name, metric), empty).values
        # The degraded images are the same in every training: the first one's row is kept.
        of_input = measured.get(metric + OF_INPUT)
        if of_input:
            values.setdefault(INPUT, of_input)
        values[stage] = means


def _validation_sets(opt: Mapping) -> Iterator[Mapping]:
    """Yield the blocks of the validation sets; BasicSR calls them val, val_1, ..."""
    datasets = block(opt, "datasets")
    for name, dataset in datasets.items():
        phase = name.split("_")[0]
        if phase == "val":
            yield dataset


def _validated(experiment: Path, dataset: Mapping) -> dict[str, dict[str, float]]:
    """Return metric -> weather -> mean of the last validation of one set; empty without any."""
    file = experiment / "validation" / f"{dataset['name']}.csv"
    rows = _last_rows(file)
    if not rows:
        return {}
    fallback = _weather_of_set(dataset["name"])
    weathers = [row.get("weather") or fallback for row in rows]
    means = {}
    for name in rows[0]:
        if name in ("iter", "image", "weather"):
            continue
        pairs = []
        for weather, row in zip(weathers, rows):
            value = float(row[name] or "nan")
            # NaN: the metric refused the image.
            if not math.isnan(value):
                pairs.append((weather, value))
        means[name] = by_weather(pairs)
    return means


def _last_rows(file: Path) -> list[dict[str, str]]:
    """Return the rows of the last iteration in a validation's table; empty without any."""
    if not file.is_file():
        return []
    rows = list(read_dicts(file))
    if not rows:
        return []
    last = rows[-1]["iter"]
    return [row for row in rows if row["iter"] == last]


def _weather_of_set(name: Any) -> str:
    """Return the weather in the name of a set, such as Rain100H, for rows without one."""
    title = str(name).lower()
    for weather in REAL:
        if weather in title:
            return weather
    return ALL


def by_weather(pairs: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return the means by weather and, of two or more of rain, haze and snow, `overall`.

    That is the unweighted mean of theirs.
    """
    return group_means(pairs, GROUPS, averaged=REAL, mean=fmean)
