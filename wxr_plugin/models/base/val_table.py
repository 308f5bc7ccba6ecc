"""Rows of a validation: their means, also by weather or degradation, and the tables on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.data.weather.synthesis import KINDS, WEATHERS
from wxr_plugin.metrics.set_share import SetShare
from wxr_plugin.utils.csv_text import dicts_to_csv, read_dicts
from wxr_plugin.utils.files import write_text
from wxr_plugin.utils.grouping import OVERALL, group_by, group_means, mean_without_nan

Row = dict[str, Any]
"""`iter`, `image`, `weather` or `degradation` (empty where unknown), then one value per metric."""

GROUPS = {"weather": KINDS, "degradation": (*DEGRADATIONS, "wild")}
"""Columns that sort images into groups, each with its groups in their order."""


def means(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, float]:
    """Return the mean of each metric over `rows`, whatever the number of ranks that made them.

    Images that a metric refused (NaN) do not count; the mean is NaN where it refused all. A metric
    of whole sets (see `SetShare`) has its value over them in place of a mean.
    """
    result = {}
    for name in metrics:
        values = [row[name] for row in rows]
        result[name] = _mean(values)
    return result


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
    table = {metric: _group_means(rows, metric) for metric in metrics}
    if not all(OVERALL in values for values in table.values()):
        return {}
    # The values over all groups come last, behind those of every metric.
    overall = {f"{metric}_{OVERALL}": values.pop(OVERALL) for metric, values in table.items()}
    by_name = {
        f"{metric}_{name}": value
        for metric, values in table.items()
        for name, value in values.items()
    }
    return by_name | overall


def group_table(rows: Sequence[Row], metrics: Sequence[str]) -> list[Row]:
    """Return a row for each group with its means: iter, group, images and each metric.

    Where there are several groups, `overall` follows, their unweighted mean. The last row is `all`,
    the mean over all images.
    """
    counts = {name: len(group) for name, group in grouped(rows).items()}
    if len(counts) > 1:
        counts[OVERALL] = sum(counts.values())
    counts["all"] = len(rows)
    over_all = means(rows, metrics)
    columns = {
        metric: {**_group_means(rows, metric), "all": over_all[metric]} for metric in metrics
    }
    table = []
    for name, count in counts.items():
        values = {metric: column[name] for metric, column in columns.items()}
        table.append({"iter": rows[0]["iter"], "group": name, "images": count, **values})
    return table


def grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of each group that occurs, in the order of GROUPS."""
    column = group_column(rows)
    return group_by(rows, lambda row: row.get(column), GROUPS.get(column, ()))


def is_of(name: str, metric: str) -> bool:
    """Return whether `name` is `metric`, or its value for a weather, a degradation or overall."""
    groups = {group for names in GROUPS.values() for group in names}
    return name == metric or name in {f"{metric}_{group}" for group in (*groups, OVERALL)}


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


def _group_means(rows: Sequence[Row], metric: str) -> dict[str, float]:
    """Return the means of `metric` by group, and their unweighted mean as OVERALL."""
    column = group_column(rows)
    pairs = [(row.get(column), row[metric]) for row in rows]
    return group_means(pairs, GROUPS.get(column, ()), mean=_mean)


def _mean(values: Sequence[float | SetShare]) -> float:
    shares = [value for value in values if isinstance(value, SetShare)]
    if shares:
        return type(shares[0]).over(shares)
    return mean_without_nan(values)


def _is_before(old: str, new: int | str) -> bool:
    """Return whether a row labelled `old` stays when rows labelled `new` are written."""
    if isinstance(new, int) and old.isdigit():
        return int(old) < new
    return old != str(new)
