"""Validation's pure parts: who takes which image, what an image is called, its metrics, and the table of rows."""

import csv
import inspect
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from basicsr.metrics import calculate_metric
from basicsr.utils.registry import METRIC_REGISTRY

from wxr_plugin.data.image_io import SUFFIXES
from wxr_plugin.data.weather import KINDS, WEATHERS
from wxr_plugin.files import write_text

Row = dict[str, Any]
"""`iter`, `image`, `weather` (empty where unknown), then one value a metric."""


def image_name(path: str, dataset: Mapping[str, Any]) -> str:
    """Name of an image, unique within its set: its path below the set's folders, without the suffix.

    Args:
        path: `lq_path` of the item; a file's path, or an LMDB key.
        dataset: the set's option block; dataroot (which may be a dict of folders), dataroot_lq and dataroot_gt count.
    """
    for key in ("dataroot_lq", "dataroot", "dataroot_gt"):
        root = dataset.get(key) or {}
        for name, folder in (root if isinstance(root, Mapping) else {"": root}).items():
            if isinstance(folder, str) and Path(path).is_relative_to(folder):
                return _stem(Path(name) / Path(path).relative_to(folder))
    return _stem(Path(path).name if Path(path).is_absolute() else path)


def usable_metrics(metrics: Mapping[str, Mapping], with_gt: bool) -> dict[str, Mapping]:
    """Those of `metrics` that an image can have: all with ground truth, else those that need none (no `img2`)."""
    return {name: options for name, options in metrics.items() if with_gt or not _needs_gt(options["type"])}


def measure(result: np.ndarray, gt: np.ndarray | None, metrics: Mapping[str, Mapping]) -> dict[str, float]:
    """Each metric of one restored image.

    Args:
        result: HxWx3 uint8 BGR, as `tensor2img` gives it.
        gt: the same of the ground truth, or None.
        metrics: name -> options with the registered `type`.
    """
    values = {}
    for name, options in metrics.items():
        data = {"img": result}
        if gt is not None and _accepts_gt(options["type"]):
            data["img2"] = gt
        values[name] = float(calculate_metric(data, dict(options)))
    return values


def means(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, float]:
    """Mean of each metric over `rows`; summed exactly, so that the number of ranks makes no difference.

    Images that a metric refused (NaN) do not count; the mean is NaN where it refused all.
    """
    return {name: _mean([row[name] for row in rows if row[name] == row[name]]) for name in metrics}


def weather_name(data: Mapping[str, Any]) -> str:
    """The weather of a batch of one image, by its index in WEATHERS; empty where the dataset does not know it."""
    index = int(data["weather"][0]) if "weather" in data else -1
    return WEATHERS[index] if index >= 0 else ""


def validation_metrics(opt: Mapping[str, Any]) -> dict[str, Mapping[str, Mapping[str, Any]]]:
    """Name of each validation set -> the blocks of its metrics, by name."""
    sets = [block for key, block in opt["datasets"].items() if key.split("_")[0] == "val"]
    common = (opt.get("val") or {}).get("metrics")
    return {block["name"]: block.get("metrics", common) or {} for block in sets}


def by_weather(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, float]:
    """`psnr_rain`, … and `psnr_overall`, for a set of several weathers; nothing for any other set.

    Overall is the unweighted mean over rain, haze and snow (those that there are), as WResVLM's tables have it, so that
    a weather with many photos counts no more than one with few. Clear photos and unknown weather stay out of it.
    """
    groups = {kind: [row for row in rows if row.get("weather") == kind] for kind in KINDS}
    groups = {kind: group for kind, group in groups.items() if group}
    if len(groups) < 2:
        return {}
    each = {kind: means(group, metrics) for kind, group in groups.items()}
    found = {f"{name}_{kind}": values[name] for name in metrics for kind, values in each.items()}
    overall = {f"{name}_overall": math.fsum(values[name] for values in each.values()) / len(each) for name in metrics}
    return found | overall


def is_of(name: str, metric: str) -> bool:
    """Whether `name` is `metric`, or its value for a weather or for all of them."""
    return name == metric or name in {f"{metric}_{group}" for group in (*KINDS, "overall")}


def write_rows(path: str | Path, rows: Sequence[Row]) -> None:
    """Put the rows of one validation into the CSV at `path`, in one step.

    Older rows stay; those of this iteration and of later ones (of a run that was resumed from an earlier state) go.
    A new metric gets a column of its own, empty in older rows.
    """
    path = Path(path)
    old = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))) if path.is_file() else []
    table = [row for row in old if _is_before(row["iter"], rows[0]["iter"])] + list(rows)
    columns = list(dict.fromkeys(key for row in [*old, *rows] for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    write_text(path, text.getvalue())


def _stem(path: str | Path) -> str:
    """`path` without the suffix of an image; an LMDB key such as `photo.v2` has none."""
    is_file = Path(path).suffix.lower() in SUFFIXES
    return (Path(path).with_suffix("") if is_file else Path(path)).as_posix()


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _is_before(old: str, new: int | str) -> bool:
    return int(old) < new if isinstance(new, int) and old.isdigit() else old != str(new)


def _needs_gt(metric: str) -> bool:
    parameter = inspect.signature(METRIC_REGISTRY.get(metric)).parameters.get("img2")
    return parameter is not None and parameter.default is inspect.Parameter.empty


def _accepts_gt(metric: str) -> bool:
    parameters = inspect.signature(METRIC_REGISTRY.get(metric)).parameters.values()
    return any(p.name == "img2" or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
