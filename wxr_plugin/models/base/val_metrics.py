"""Metrics of validation: which a set has, those of an image, and those of the degraded input."""

import inspect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from basicsr.metrics import calculate_metric
from basicsr.utils.registry import METRIC_REGISTRY

from wxr_plugin.data.images.io import SUFFIXES
from wxr_plugin.metrics.set_share import SetShare
from wxr_plugin.models.base.val_table import Row, by_group, means

INPUT = "input"
"""Key of a row under which the metrics of its degraded image are, and suffix of their columns."""


def validation_metrics(opt: Mapping[str, Any]) -> dict[str, Mapping[str, Mapping[str, Any]]]:
    """Return the option blocks of the metrics, keyed by name, of each validation set of `opt`."""
    sets = [block for key, block in opt["datasets"].items() if key.split("_")[0] == "val"]
    common = (opt.get("val") or {}).get("metrics")
    return {block["name"]: block.get("metrics", common) or {} for block in sets}


def image_name(path: str, dataset: Mapping[str, Any]) -> str:
    """Return the name of an image, unique within its set.

    It is the path below the set's folders, without suffix. Join it to a folder with
    `safe_paths.safe_join`: a key of an LMDB may be anything.

    Args:
        path: `lq_path` of the item; a file's path, or an LMDB key.
        dataset: the set's option block; dataroot (which may be a dict of folders), dataroot_lq and
            dataroot_gt count.
    """
    path = os.path.normpath(path)  # a list may name ROOT/../other/photo.png
    for key in ("dataroot_lq", "dataroot", "dataroot_gt"):
        root = dataset.get(key) or {}
        folders = root if isinstance(root, Mapping) else {"": root}
        for name, folder in folders.items():
            if not isinstance(folder, str):
                continue
            folder = os.path.normpath(folder)
            if Path(path).is_relative_to(folder):
                # images of several folders may have the same path below them
                return _stem(Path(name) / Path(path).relative_to(folder))
    # a key of an LMDB is relative, and unique as it is
    return _stem(Path(path).name if Path(path).is_absolute() else path)


def usable_metrics(metrics: Mapping[str, Mapping], with_gt: bool) -> dict[str, Mapping]:
    """Return the metrics computable for an image: without ground truth, only no-reference ones.

    A no-reference metric is a function without a required argument `img2`.
    """
    usable = {}
    for name, options in metrics.items():
        if with_gt or not _needs_gt(options["type"]):
            usable[name] = options
    return usable


def measure(
    result: np.ndarray, gt: np.ndarray | None, metrics: Mapping[str, Mapping]
) -> dict[str, float | SetShare]:
    """Return each metric of one restored image; for a metric of whole sets, the image's share.

    Args:
        result: (H, W, 3) uint8 BGR, as `tensor2img` returns it.
        gt: ground truth in the same form, or None.
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


class InputMetrics:
    """Metrics of the degraded images: a restored image should have better ones.

    They do not change, so they are measured once a run.

    Attributes:
        results: validation set -> metric (and metric of a weather or degradation) -> value.
    """

    def __init__(self):
        self.results: dict[str, dict[str, float]] = {}
        self._images: dict[str, dict[str, dict[str, float]]] = {}

    def measured(
        self, name: str, lq: np.ndarray, gt: np.ndarray | None, result: np.ndarray, metrics: Mapping
    ) -> dict[str, dict]:
        """Return {INPUT: metrics of `lq`} for a row; {} if set `name` has been measured.

        Images are (H, W, 3) uint8 BGR. {} too where `lq` differs from `result` in size, as in
        super-resolution.
        """
        if name in self.results or lq.shape != result.shape:
            return {}
        return {INPUT: measure(lq, gt, metrics)}

    def collect(self, name: str, rows: Sequence[Row], metrics: Sequence[str]) -> None:
        """Remove the input's metrics from the rows of a set; store them if all rows have them."""
        inputs = [row.pop(INPUT, None) for row in rows]
        if name in self.results:
            return
        self.results[name] = {}
        self._images[name] = {}
        # images of super-resolution have no metrics of their input
        if not all(inputs):
            return
        measured = [{**row, **values} for row, values in zip(rows, inputs)]
        self.results[name] = means(measured, metrics) | by_group(measured, metrics)
        for row, values in zip(rows, inputs):
            # a share of a whole set is not a value of the image
            columns = {}
            for metric, value in values.items():
                if not isinstance(value, SetShare):
                    columns[f"{metric}_{INPUT}"] = value
            self._images[name][row["image"]] = columns

    def columns(self, name: str, image: str) -> dict[str, float]:
        """Return psnr_input, ... of an image of set `name`; {} where they were not measured."""
        return self._images.get(name, {}).get(image, {})


def _stem(path: str | Path) -> str:
    """Return `path` without the suffix of an image; an LMDB key such as `photo.v2` has none."""
    path = Path(path)
    if path.suffix.lower() in SUFFIXES:
        path = path.with_suffix("")
    return path.as_posix()


def _needs_gt(metric: str) -> bool:
    signature = inspect.signature(METRIC_REGISTRY.get(metric))
    parameter = signature.parameters.get("img2")
    return parameter is not None and parameter.default is inspect.Parameter.empty


def _accepts_gt(metric: str) -> bool:
    signature = inspect.signature(METRIC_REGISTRY.get(metric))
    if "img2" in signature.parameters:
        return True
    # BasicSR's no-reference niqe takes and ignores it in **kwargs
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds
