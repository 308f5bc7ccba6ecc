"""Rows of a validation: their means, also by weather or degradation, and the tables on disk."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.data.weather.synthesis import KINDS, WEATHERS
from wxr_plugin.metrics.set_share import SetShare
from wxr_plugin.utils.csv_text import dicts_to_csv, read_dicts
from wxr_plugin.utils.files import write_text

Row = dict[str, Any]
"""`iter`, `image`, `weather` or `degradation` (empty where unknown), then one value per metric."""

GROUPS = {"weather": KINDS, "degradation": (*DEGRADATIONS, "wild")}
"""Columns that sort images into groups, each with its groups in their order."""


def means(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, float]:
    """Return the mean of each metric over `rows`, whatever the number of ranks that made them.

    Images that a metric refused (NaN) do not count; the mean is NaN where it refused all. A metric
    of whole sets (see `SetShare`) has its value over them in place of a mean.
    """
    results = {}
    for name in metrics:
        values = [row[name] for row in rows]
        # NaN is the only value that differs from itself; a SetShare may have no `isnan`
        results[name] = _over([value for value in values if value == value])
    return results


def group_of(data: Mapping[str, Any]) -> dict[str, str]:
    """Return column and group of a batch of one: {"degradation": "hazy"} or {"weather": "rain"}.

    The group is empty where the dataset does not know it.
    """
    if "degradation" in data:
        return {"degradation": str(data["degradation"][0])}
    index = int(data["weather"][0]) if "weather" in data else -1
    return {"weather": WEATHERS[index] if index >= 0 else ""}


def group_column(rows: Sequence[Row]) -> str | None:
    """Return the column that sorts `rows` into groups; None where no image's group is known."""
    for column in GROUPS:
        if any(row.get(column) for row in rows):
            return column
    return None


def by_group(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, float]:
    """Return `psnr_rain`, ... or `psnr_hazy`, ..., and `psnr_overall`; {} for a set of one group.

    Overall is the unweighted mean over rain, haze and snow (those that occur), as WResVLM's tables
    have it, or over the degradations, as DA-CLIP's Table 3 has it: one with many photos counts as
    much as one with few. Clear photos and unknown weather are left out.
    """
    groups = grouped(rows)
    if len(groups) < 2:
        return {}
    group_means = {name: means(group, metrics) for name, group in groups.items()}
    overall = _overall(group_means, metrics)
    results = {}
    for metric in metrics:
        for name, values in group_means.items():
            results[f"{metric}_{name}"] = values[metric]
    for metric, value in overall.items():
        results[f"{metric}_overall"] = value
    return results


def group_table(rows: Sequence[Row], metrics: Sequence[str]) -> list[Row]:
    """Return a row for each group with its means: iter, group, images and each metric.

    Where there are several groups, `overall` follows, their unweighted mean. The last row is `all`,
    the mean over all images.
    """
    groups = grouped(rows)
    group_means = {name: means(group, metrics) for name, group in groups.items()}
    counts = {name: len(group) for name, group in groups.items()}
    table = [(name, counts[name], values) for name, values in group_means.items()]
    if len(groups) > 1:
        table.append(("overall", sum(counts.values()), _overall(group_means, metrics)))
    table.append(("all", len(rows), means(rows, metrics)))
    cells = {"iter": rows[0]["iter"]}
    return [{**cells, "group": name, "images": count, **values} for name, count, values in table]


def grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of each group that occurs, in the order of GROUPS."""
    column = group_column(rows)
    groups: dict[str, list[Row]] = {}
    for name in GROUPS.get(column, ()):
        group = [row for row in rows if row.get(column) == name]
        if group:
            groups[name] = group
    return groups


def is_of(name: str, metric: str) -> bool:
    """Return whether `name` is `metric`, or its value for a weather, a degradation or overall."""
    groups = ["overall"]
    for names in GROUPS.values():
        groups.extend(names)
    # not by prefix: psnr_y_hazy is a value of psnr_y, not of psnr
    return name == metric or name in [f"{metric}_{group}" for group in groups]


def write_rows(path: str | Path, rows: Sequence[Row]) -> None:
    """Write the rows of one validation into the CSV at `path`, atomically.

    Older rows stay; those of this iteration and of later ones (of a run that was resumed from an
    earlier state) are removed. A new metric gets a new column, empty in older rows.
    """
    path = Path(path)
    old_rows = list(read_dicts(path)) if path.is_file() else []
    label = rows[0]["iter"]
    remaining = [row for row in old_rows if _is_before(row["iter"], label)]
    # a dict keeps the columns in the order in which they first occur
    columns: dict[str, None] = {}
    for row in [*old_rows, *rows]:
        columns.update(dict.fromkeys(row))
    write_text(path, dicts_to_csv(list(columns), [*remaining, *rows]))


def _overall(
    group_means: Mapping[str, Mapping[str, float]], metrics: Sequence[str]
) -> dict[str, float]:
    """Return the unweighted mean over groups of each metric."""
    results = {}
    for metric in metrics:
        total = math.fsum(values[metric] for values in group_means.values())
        results[metric] = total / len(group_means)
    return results


def _over(values: Sequence[float | SetShare]) -> float:
    """Return the mean of numbers, or the value of the set that shares describe."""
    if values and isinstance(values[0], SetShare):
        return type(values[0]).over(values)
    # fsum is exact, so that the order of the rows makes no difference
    return math.fsum(values) / len(values) if values else math.nan


def _is_before(old: str, new: int | str) -> bool:
    """Return whether a row labelled `old` stays when rows labelled `new` are written."""
    if isinstance(new, int) and old.isdigit():
        return int(old) < new
    return old != str(new)
