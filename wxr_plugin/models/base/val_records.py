"""Records of a validation: log lines, tables, scalars and pictures, and the best network."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from basicsr.utils import get_root_logger, tensor2img
from basicsr.utils.dist_util import get_dist_info
from torch import Tensor

from wxr_plugin.errors import OptionError
from wxr_plugin.metrics.set_share import SetShare
from wxr_plugin.models.base.val_metrics import INPUT, InputMetrics
from wxr_plugin.models.base.val_table import (
    Row,
    by_group,
    group_column,
    group_table,
    is_of,
    means,
    write_rows,
)
from wxr_plugin.options.train import SaveBestOptions
from wxr_plugin.schema import Block, NotNegative
from wxr_plugin.utils.html import is_worse
from wxr_plugin.utils.safe_paths import safe_join

Metrics = Mapping[str, Mapping[str, Any]]
"""Option blocks of metrics, keyed by name."""
SIDE = 512
"""Longest side of each image of a picture, in pixels; larger ones are reduced."""


class WxrValOptions(Block):
    """Keys of WxrModel in the `val` block."""

    pictures: NotNegative = 4
    """Number of photos of each set whose input, restoration and ground truth go to TensorBoard (and
    from there to Weights & Biases) next to each other, each at most 512 pixels long, at every
    validation; 0: none."""


class Pictures:
    """Collects the pictures of one validation of one set.

    Args:
        count: largest number of pictures.
        indices: of the images that this process restores; the pictures are spread evenly over them.
    """

    def __init__(self, count: int, indices: Sequence[int]):
        places = np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)
        self.indices = {indices[place] for place in places}
        self.strips: dict[str, np.ndarray] = {}

    def add(self, index: int, image: str, visuals: Mapping[str, Tensor]) -> None:
        """Add image `index` if it is chosen; `visuals` has lq, result, maybe gt, (1, 3, H, W)."""
        if index in self.indices:
            shown = [visuals[key] for key in ("lq", "result", "gt") if key in visuals]
            self.strips[image] = strip(shown)

    def write(self, tb_logger: Any, name: str, iteration: int) -> None:
        """Write the pictures of set `name` to a SummaryWriter as validation/NAME/IMAGE."""
        for image, picture in self.strips.items():
            tb_logger.add_image(f"validation/{name}/{image}", picture, iteration, dataformats="HWC")


def strip(images: Sequence[Tensor]) -> np.ndarray:
    """Return images (1, 3, h, w) in [0, 1] next to each other, (H, W, 3) uint8 RGB.

    All get the size of the second.
    """
    pictures = [tensor2img([image], rgb2bgr=False) for image in images]
    height, width = pictures[1].shape[:2]
    factor = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    scaled = []
    for picture in pictures:
        # the input of super-resolution shows its pixels; a large photo is averaged
        is_enlarged = picture.shape[0] < size[1]
        method = cv2.INTER_NEAREST if is_enlarged else cv2.INTER_AREA
        scaled.append(cv2.resize(picture, size, interpolation=method))
    return np.hstack(scaled)


class ValidationRecords:
    """Logs the metrics of validations, writes their tables and saves the best network.

    Args:
        paths: the `path` block; tables go to validation/ in experiments_root or results_root.
        tracks_best: whether best values are tracked, as in training.
        choice: which metric decides on the best network, if one is to be saved.
        save_best: saves the best network; every rank calls it.

    Attributes:
        results: metrics of the last validation, also by weather or degradation.
        best: validation set -> metric -> {better, val, iter}.
        inputs: metrics of the degraded images.
    """

    def __init__(
        self,
        paths: Mapping[str, Any],
        tracks_best: bool,
        choice: SaveBestOptions | None,
        save_best: Callable[[], None],
    ):
        self.paths = paths
        self.tracks_best = tracks_best
        self.choice = choice
        self.save_best = save_best
        self.results: dict[str, float] = {}
        self.best: dict[str, dict[str, dict]] = {}
        self.inputs = InputMetrics()

    def record(
        self, name: str, rows: list[Row], metrics: Metrics, label: int | str, tb_logger: Any
    ) -> None:
        """Record the validation of set `name`. Every rank calls it, with the rows of all ranks.

        Args:
            name: of the validation set.
            rows: one per image; each has all `metrics`.
            metrics: their option blocks; without any, nothing is recorded.
            label: iteration, or in testing the run's name.
            tb_logger: a SummaryWriter on rank 0, or None.

        Raises:
            OptionError: the set does not have the metric that decides on the best network.
        """
        self.inputs.collect(name, rows, list(metrics))
        if not metrics:
            return
        self.results = means(rows, list(metrics)) | by_group(rows, list(metrics))
        if self.tracks_best:
            self._update_best(name, metrics, label)
        if get_dist_info()[0] == 0:
            self._write_tables(name, rows, list(metrics))
            self._log(name, metrics)
            if tb_logger:
                self._write_scalars(name, label, tb_logger)

    def _update_best(self, name: str, metrics: Metrics, label: int) -> None:
        best = self.best.setdefault(name, {})
        for metric, value in self.results.items():
            better = _better(metric, metrics)
            # the entries of BasicSR, which a training state holds
            worst = float("-inf") if better == "higher" else float("inf")
            entry = best.setdefault(metric, {"better": better, "val": worst, "iter": -1})
            # of equal values the last counts, as in BasicSR
            is_best = value >= entry["val"] if better == "higher" else value <= entry["val"]
            if is_best:
                entry.update(val=value, iter=label)
        choice = self.choice
        if choice is None or choice.dataset != name:
            return
        if choice.metric not in best:
            raise OptionError(
                f"train.save_best: {name} has no metric {choice.metric!r}, but {', '.join(best)}"
            )
        if best[choice.metric]["iter"] == label:
            self.save_best()

    def _write_tables(self, name: str, rows: list[Row], metrics: Sequence[str]) -> None:
        """Write a row per image, and one per group for degradations and metrics of whole sets."""
        # a share of a whole set is not a value of its image
        set_metrics = [metric for metric in metrics if isinstance(rows[0][metric], SetShare)]
        columns = ["iter", "image"]
        group = group_column(rows)
        if group:
            columns.append(group)
        columns += [metric for metric in metrics if metric not in set_metrics]
        root = self.paths.get("experiments_root") or self.paths["results_root"]
        folder = Path(root) / "validation"
        table = []
        for row in rows:
            cells = {column: row[column] for column in columns}
            table.append(cells | self.inputs.columns(name, row["image"]))
        write_rows(safe_join(folder, f"{name}.csv"), table)
        if set_metrics or group == "degradation":
            write_rows(safe_join(folder, f"{name}_groups.csv"), group_table(rows, metrics))

    def _log(self, name: str, metrics: Metrics) -> None:
        """Log each metric with the input's and the best one, in the format of BasicSR."""
        inputs = self.inputs.results.get(name, {})
        best = self.best.get(name, {})
        lines = [f"Validation {name}"]
        for metric, value in self.results.items():
            line = f"\t # {metric}: {value:.4f}"
            if metric in inputs:
                line += f"\tInput: {inputs[metric]:.4f}"
                if is_worse(value, inputs[metric], _better(metric, metrics), 4):
                    line += " (better than the network)"
            if metric in best:
                value, iteration = best[metric]["val"], best[metric]["iter"]
                line += f"\tBest: {value:.4f} @ {iteration} iter"
            lines.append(line)
        get_root_logger().info("\n".join(lines) + "\n")

    def _write_scalars(self, name: str, label: int | str, tb_logger: Any) -> None:
        for metric, value in self.results.items():
            tb_logger.add_scalar(f"metrics/{name}/{metric}", value, label)
        for metric, value in self.inputs.results.get(name, {}).items():
            tb_logger.add_scalar(f"metrics/{name}/{metric}_{INPUT}", value, label)


def _better(name: str, metrics: Metrics) -> str:
    """Return `higher` or `lower` for a metric, or for its value of a weather or degradation."""
    for metric, options in metrics.items():
        if is_of(name, metric):
            return options.get("better", "higher")
    raise KeyError(name)
