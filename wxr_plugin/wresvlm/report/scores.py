"""How good the network of each stage is: on real photos, and in the validation of its training."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal, NamedTuple

from wxr_plugin.benchmark.tables import Cell, Heading, figure_text, rank
from wxr_plugin.benchmark.tables import Table as PageTable
from wxr_plugin.options.nested import block
from wxr_plugin.utils.csv_text import read_dicts
from wxr_plugin.utils.grouping import group_means
from wxr_plugin.utils.html import WORSE, is_worse, text_table
from wxr_plugin.wresvlm.options import REAL
from wxr_plugin.wresvlm.report.measuring import INPUT, Row, steps
from wxr_plugin.wresvlm.settings import Settings

ALL = "all"
GROUPS = (*REAL, "clear", "unknown", ALL)
"""Weather types of photos in the order of columns."""
DIGITS = 3
OF_INPUT = f"_{INPUT}"
"""End of the columns of a validation's table that hold the metrics of the degraded images."""
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

    def table(self) -> PageTable:
        """Return a table with a row a step and a column a weather, its best and second marked."""
        columns = [name for means in self.values.values() for name in means]
        weathers = list(dict.fromkeys(columns))
        headings = [Heading(weather, self.better) for weather in weathers]
        baseline = self.values.get(INPUT, {})
        table = PageTable(self.title, headings, [], corner="stage")
        for step, means in self.values.items():
            cells = [self._cell(means.get(name), baseline.get(name)) for name in weathers]
            table.rows.append((step, cells))
        for place, heading in enumerate(headings):
            column = [cells[place] for _, cells in table.rows]
            figures = [means.get(heading.title, math.nan) for means in self.values.values()]
            rank(column, figures, heading, DIGITS)
        return table

    def _cell(self, value: float | None, baseline: float | None) -> Cell:
        """Return the cell of a mean; `baseline` is that of the input, None where it has none."""
        if value is None:
            return Cell()
        is_marked = baseline is not None and is_worse(value, baseline, self.better, DIGITS)
        return Cell(figure_text(value, DIGITS), worse=is_marked)


def plain_text(table: PageTable) -> str:
    """Return the table for a terminal: * marks the best of a column, ▼ is worse than the input."""
    header = [table.corner, *(heading.title for heading in table.columns)]
    rows = [[name, *map(_marked, cells)] for name, cells in table.rows]
    return text_table(header, rows)


def _marked(cell: Cell) -> str:
    star = "*" if cell.rank == "best" else ""
    mark = f" {WORSE}" if cell.worse else ""
    return f"{star}{cell.text}{mark}"


def of_photos(rows: Sequence[Row], metrics: Mapping[str, Mapping]) -> list[Scores]:
    """Return each measure of the real photos; a photo counts if it was measured at every step.

    `metrics` are the blocks of the measures that have one.
    """
    scores = []
    shown = [INPUT, *(rows[0]["files"] if rows else ())]
    for name in measures(rows):
        complete = [row for row in rows if _is_complete(row, name, shown)]
        means = {}
        for step in shown:
            pairs = [(row["weather"], row["values"][step][name]) for row in complete]
            means[step] = by_weather(pairs)
        if complete:
            scores.append(Scores(name, means, better(metrics, name)))
    return scores


def _is_complete(row: Row, name: str, shown: Sequence[str]) -> bool:
    values = row["values"]
    return all(name in values.get(step, {}) for step in shown)


def measures(rows: Sequence[Row]) -> list[str]:
    """Return the names of all measures of the real photos."""
    values = [by_name for row in rows for by_name in row["values"].values()]
    return list(dict.fromkeys(name for by_name in values for name in by_name))


def better(metrics: Mapping[str, Mapping], name: str) -> Literal["higher", "lower"]:
    """Return which end of a measure is the good one; `metrics` may have a block for it."""
    return block(metrics, name).get("better", "higher")


def of_validation(settings: Settings, stages: Sequence[str]) -> list[Scores]:
    """Return the last validation of each training, one for each set and metric."""
    scores: dict[tuple[str, str], Scores] = {}
    # `start` is a step without a training of this run, so it has no validation.
    for stage in (name for name in steps(settings, stages) if name in stages):
        opt = settings.supervised if stage == "supervised" else settings.train
        for dataset in _validation_sets(opt):
            metrics = dataset.get("metrics", block(opt, "val", "metrics")) or {}
            measured = _validated(settings.experiment(stage), dataset)
            for metric in (name for name in measured if not name.endswith(OF_INPUT)):
                title = f"{metric}, {dataset['name']}"
                empty = Scores(title, {}, better(metrics, metric))
                values = scores.setdefault((dataset["name"], metric), empty).values
                # The degraded images are the same in every training: the first one's row is kept.
                if before := measured.get(metric + OF_INPUT):
                    values.setdefault(INPUT, before)
                values[stage] = measured[metric]
    return list(scores.values())


def _validation_sets(opt: Mapping) -> Iterator[Mapping]:
    """Yield the blocks of the validation sets; BasicSR calls them val, val_1, ..."""
    for name, dataset in block(opt, "datasets").items():
        if name.split("_")[0] == "val":
            yield dataset


def _validated(experiment: Path, dataset: Mapping) -> dict[str, dict[str, float]]:
    """Return metric -> weather -> mean of the last validation of one set; empty without any."""
    file = experiment / "validation" / f"{dataset['name']}.csv"
    rows = list(read_dicts(file)) if file.is_file() else []
    rows = [row for row in rows if row["iter"] == rows[-1]["iter"]]
    columns = list(rows[0]) if rows else []
    # Rows without a weather count for that in the name of the set, such as Rain100H.
    title = str(dataset["name"]).lower()
    fallback = next((kind for kind in REAL if kind in title), ALL)
    weathers = [row.get("weather") or fallback for row in rows]
    means = {}
    for name in (name for name in columns if name not in ("iter", "image", "weather")):
        values = [float(row[name] or "nan") for row in rows]
        # NaN: the metric refused the image.
        pairs = [pair for pair in zip(weathers, values) if not math.isnan(pair[1])]
        means[name] = by_weather(pairs)
    return means


def by_weather(pairs: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return the means by weather and, of two or more of rain, haze and snow, `overall`.

    That is the unweighted mean of theirs.
    """
    return group_means(pairs, GROUPS, averaged=REAL, mean=fmean)
