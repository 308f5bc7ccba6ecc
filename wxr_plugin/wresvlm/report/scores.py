"""How good the network of each stage is: on real photos, and in the validation of its training."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from wxr_plugin.options.nested import block
from wxr_plugin.utils.csv_text import read_dicts
from wxr_plugin.utils.grouping import group_means
from wxr_plugin.utils.html import WORSE, is_worse
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
"""Header and rows."""


class Scores(NamedTuple):
    """One measure over the steps of a run."""

    title: str
    values: dict[str, dict[str, float]]
    """Step -> weather -> mean.

    `overall` is the unweighted mean over rain, haze and snow, as in the paper, whatever the
    number of photos of each."""
    better: str = "higher"
    """`higher` or `lower`, the metric's own `better`."""

    def table(self) -> Table:
        """Return header and rows, a step each; * marks the best of a column, ▼ what is worse than the input."""
        columns = list(dict.fromkeys(name for row in self.values.values() for name in row))
        choose = min if self.better == "lower" else max
        best = {
            name: choose(row[name] for row in self.values.values() if name in row)
            for name in columns
        }
        before = self.values.get(INPUT, {})
        rows = [
            [step, *(self._cell(row.get(name), best[name], before.get(name)) for name in columns)]
            for step, row in self.values.items()
        ]
        return ["stage", *columns], rows

    def _cell(self, value: float | None, best: float, before: float | None) -> str:
        """Return a figure with its marks; `before` is that of the input, None where it has none."""
        if value is None:
            return ""
        baseline = math.nan if before is None else before
        worse = is_worse(value, baseline, self.better, DIGITS)
        return (
            ("*" if value == best else "") + f"{value:.{DIGITS}f}" + (f" {WORSE}" if worse else "")
        )


def of_photos(rows: Sequence[Row], metrics: Mapping[str, Mapping]) -> list[Scores]:
    """What was measured on the real photos, a table a measure; a photo counts if it was measured at every step.

    `metrics` are the blocks of the measures that have one.
    """
    found = []
    shown = [INPUT, *(rows[0]["files"] if rows else ())]
    for name in dict.fromkeys(
        name for row in rows for values in row["values"].values() for name in values
    ):
        whole = [row for row in rows if all(name in row["values"].get(step, {}) for step in shown)]
        by_step = {
            step: [(row["weather"], row["values"][step][name]) for row in whole] for step in shown
        }
        means = {step: by_weather(pairs) for step, pairs in by_step.items()}
        found += (
            [Scores(name, means, block(metrics, name).get("better", "higher"))] if whole else []
        )
    return found


def of_validation(settings: Settings, stages: Sequence[str]) -> list[Scores]:
    """The last validation of each training, a table a set and metric."""
    found: dict[tuple[str, str], Scores] = {}
    for stage in (name for name in steps(settings, stages) if name in stages):
        opt = settings.supervised if stage == "supervised" else settings.train
        for name, dataset in block(opt, "datasets").items():
            if name.split("_")[0] == "val":
                metrics = dataset.get("metrics", block(opt, "val", "metrics")) or {}
                measured = _validated(settings.experiment(stage), dataset)
                for metric in (key for key in measured if not key.endswith(OF_INPUT)):
                    new = Scores(
                        f"{metric}, {dataset['name']}",
                        {},
                        block(metrics, metric).get("better", "higher"),
                    )
                    scores = found.setdefault((dataset["name"], metric), new)
                    if before := measured.get(metric + OF_INPUT):
                        scores.values.setdefault(INPUT, before)
                    scores.values[stage] = measured[metric]
    return list(found.values())


def _validated(experiment: Path, dataset: Mapping) -> dict[str, dict[str, float]]:
    """Metric -> weather -> mean of the last validation of one set; empty where there was none."""
    file = experiment / "validation" / f"{dataset['name']}.csv"
    rows = list(read_dicts(file)) if file.is_file() else []
    rows = [row for row in rows if row["iter"] == rows[-1]["iter"]]
    told = next((kind for kind in REAL if kind in str(dataset["name"]).lower()), ALL)
    metrics = [
        name for name in (rows[0] if rows else ()) if name not in ("iter", "image", "weather")
    ]
    values = {
        name: [(row.get("weather") or told, float(row[name] or "nan")) for row in rows]
        for name in metrics
    }
    return {
        name: by_weather([pair for pair in pairs if pair[1] == pair[1]])
        for name, pairs in values.items()
    }


def by_weather(pairs: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return the means by weather and, of two or more of rain, haze and snow, `overall`.

    That is the unweighted mean of theirs.
    """
    return group_means(pairs, GROUPS, averaged=REAL, mean=fmean)
