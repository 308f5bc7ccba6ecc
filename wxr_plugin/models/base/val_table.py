"""The rows of a validation: their means, by weather or degradation too, and the tables that they are written to."""

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
"""`iter`, `image`, `weather` or `degradation` (empty where unknown), then one value a metric."""

GROUPS = {"weather": KINDS, "degradation": (*DEGRADATIONS, "wild")}
"""The columns that sort images into groups, and the groups in their order."""


def means(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, float]:
    """Mean of each metric over `rows`; summed exactly, so that the number of ranks makes no difference.

    Images that a metric refused (NaN) do not count; the mean is NaN where it refused all. A metric
    of whole sets (see `SetShare`) has its value over them in place of a mean.
    """
    return {name: _over([row[name] for row in rows if row[name] == row[name]]) for name in metrics}


def group_of(data: Mapping[str, Any]) -> dict[str, str]:
    """Column and name of the group of a batch of one image: {"degradation": "hazy"}, or else {"weather": "rain"}.

    The name is empty where the dataset does not know it.
    """
    if "degradation" in data:
        return {"degradation": str(data["degradation"][0])}
    index = int(data["weather"][0]) if "weather" in data else -1
    return {"weather": WEATHERS[index] if index >= 0 else ""}


def group_column(rows: Sequence[Row]) -> str | None:
    """The column by which `rows` are sorted into groups; None where no image's group is known."""
    return next((column for column in GROUPS if any(row.get(column) for row in rows)), None)


def by_group(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, float]:
    """`psnr_rain`, … or `psnr_hazy`, … and `psnr_overall`, for a set of several weathers or degradations; else nothing.

    Overall is the unweighted mean over rain, haze and snow (those that there are), as WResVLM's
    tables have it, or over the degradations, as DA-CLIP's Table 3 has it: one with many photos
    counts no more than one with few. Clear photos and unknown weather stay out of it.
    """
    groups = grouped(rows)
    if len(groups) < 2:
        return {}
    each = {name: means(group, metrics) for name, group in groups.items()}
    found = {
        f"{metric}_{name}": values[metric] for metric in metrics for name, values in each.items()
    }
    return found | {f"{metric}_overall": value for metric, value in _overall(each, metrics).items()}


def group_table(rows: Sequence[Row], metrics: Sequence[str]) -> list[Row]:
    """A row a group with its means: iter, group, images and each metric; then `overall`, the unweighted mean of the
    groups where there are several, and `all`, over all images alike."""
    groups = grouped(rows)
    each = {name: means(group, metrics) for name, group in groups.items()}
    table = [(name, len(group), each[name]) for name, group in groups.items()]
    table += (
        [("overall", sum(map(len, groups.values())), _overall(each, metrics))]
        if len(groups) > 1
        else []
    )
    table.append(("all", len(rows), means(rows, metrics)))
    return [
        {"iter": rows[0]["iter"], "group": name, "images": count, **values}
        for name, count, values in table
    ]


def grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each group that there is, in the order of GROUPS."""
    column = group_column(rows)
    groups = {
        name: [row for row in rows if row.get(column) == name] for name in GROUPS.get(column, ())
    }
    return {name: group for name, group in groups.items() if group}


def is_of(name: str, metric: str) -> bool:
    """Whether `name` is `metric`, or its value for a weather, a degradation, or for all of them."""
    groups = {group for names in GROUPS.values() for group in names}
    return name == metric or name in {f"{metric}_{group}" for group in (*groups, "overall")}


def write_rows(path: str | Path, rows: Sequence[Row]) -> None:
    """Put the rows of one validation into the CSV at `path`, in one step.

    Older rows stay; those of this iteration and of later ones (of a run that was resumed from an
    earlier state) go. A new metric gets a column of its own, empty in older rows.
    """
    path = Path(path)
    old = list(read_dicts(path)) if path.is_file() else []
    table = [row for row in old if _is_before(row["iter"], rows[0]["iter"])] + list(rows)
    columns = list(dict.fromkeys(key for row in [*old, *rows] for key in row))
    write_text(path, dicts_to_csv(columns, table))


def _overall(each: Mapping[str, Mapping[str, float]], metrics: Sequence[str]) -> dict[str, float]:
    return {
        metric: math.fsum(values[metric] for values in each.values()) / len(each)
        for metric in metrics
    }


def _over(values: Sequence[float | SetShare]) -> float:
    if values and isinstance(values[0], SetShare):
        return type(values[0]).over(values)
    return math.fsum(values) / len(values) if values else math.nan


def _is_before(old: str, new: int | str) -> bool:
    return int(old) < new if isinstance(new, int) and old.isdigit() else old != str(new)
