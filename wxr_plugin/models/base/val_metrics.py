"""Metrics of validation: which there are, what one image has of them, and what the image is called."""

import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from basicsr.metrics import calculate_metric
from basicsr.utils.registry import METRIC_REGISTRY

from wxr_plugin.data.images.io import SUFFIXES
from wxr_plugin.metrics.set_share import SetShare


def validation_metrics(opt: Mapping[str, Any]) -> dict[str, Mapping[str, Mapping[str, Any]]]:
    """Name of each validation set -> the blocks of its metrics, by name."""
    sets = [block for key, block in opt["datasets"].items() if key.split("_")[0] == "val"]
    common = (opt.get("val") or {}).get("metrics")
    return {block["name"]: block.get("metrics", common) or {} for block in sets}


def image_name(path: str, dataset: Mapping[str, Any]) -> str:
    """Return the name of an image, unique within its set: its path below the set's folders, without the suffix.

    Join it to a folder with `safe_paths.safe_join`: a key of an LMDB may be anything.

    Args:
        path: `lq_path` of the item; a file's path, or an LMDB key.
        dataset: the set's option block; dataroot (which may be a dict of folders), dataroot_lq and
            dataroot_gt count.
    """
    path = os.path.normpath(path)  # a list may name ROOT/../other/photo.png
    for key in ("dataroot_lq", "dataroot", "dataroot_gt"):
        root = dataset.get(key) or {}
        for name, folder in (root if isinstance(root, Mapping) else {"": root}).items():
            folder = os.path.normpath(folder) if isinstance(folder, str) else None
            if folder and Path(path).is_relative_to(folder):
                return _stem(Path(name) / Path(path).relative_to(folder))
    return _stem(Path(path).name if Path(path).is_absolute() else path)


def usable_metrics(metrics: Mapping[str, Mapping], with_gt: bool) -> dict[str, Mapping]:
    """Those of `metrics` that an image can have: all with ground truth, else those that need none (no `img2`)."""
    return {
        name: options
        for name, options in metrics.items()
        if with_gt or not _needs_gt(options["type"])
    }


def measure(
    result: np.ndarray, gt: np.ndarray | None, metrics: Mapping[str, Mapping]
) -> dict[str, float | SetShare]:
    """Each metric of one restored image; of a metric of whole sets, what the image adds to it.

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
        value = calculate_metric(data, dict(options))
        values[name] = value if isinstance(value, SetShare) else float(value)
    return values


def _stem(path: str | Path) -> str:
    """`path` without the suffix of an image; an LMDB key such as `photo.v2` has none."""
    is_file = Path(path).suffix.lower() in SUFFIXES
    return (Path(path).with_suffix("") if is_file else Path(path)).as_posix()


def _needs_gt(metric: str) -> bool:
    parameter = inspect.signature(METRIC_REGISTRY.get(metric)).parameters.get("img2")
    return parameter is not None and parameter.default is inspect.Parameter.empty


def _accepts_gt(metric: str) -> bool:
    parameters = inspect.signature(METRIC_REGISTRY.get(metric)).parameters.values()
    return any(p.name == "img2" or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
