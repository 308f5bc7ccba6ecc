"""Metrics of the degraded images themselves, so that a validation shows whether the network is better than nothing."""

from collections.abc import Mapping, Sequence

import numpy as np

from wxr_plugin.metrics.set_share import SetShare
from wxr_plugin.models.base.val_metrics import measure
from wxr_plugin.models.base.val_table import Row, by_group, means

INPUT = "input"
"""Key of a row under which the metrics of its degraded image travel, and suffix of their columns."""


class InputMetrics:
    """The input's metrics of each validation set.

    They do not change, so they are measured once a run.

    Attributes:
        results: name of a set -> metric (and metric of a weather or degradation) -> the input's
            value.
    """

    def __init__(self):
        self.results: dict[str, dict[str, float]] = {}
        self._images: dict[str, dict[str, dict[str, float]]] = {}

    def measured(
        self, name: str, lq: np.ndarray, gt: np.ndarray | None, result: np.ndarray, metrics: Mapping
    ) -> dict[str, dict]:
        """Return {INPUT: metrics of `lq`} for the row of an image; {} if the set `name` has been measured before.

        Images are (H, W, 3) uint8 BGR. {} too where `lq` differs from `result` in size, as in
        super-resolution.
        """
        if name in self.results or lq.shape != result.shape:
            return {}
        return {INPUT: measure(lq, gt, metrics)}

    def take(self, name: str, rows: Sequence[Row], metrics: Sequence[str]) -> None:
        """Take the input's metrics out of the rows of a whole set, and keep them if all rows have them."""
        inputs = [row.pop(INPUT, None) for row in rows]
        if name in self.results:
            return
        self.results[name], self._images[name] = {}, {}
        if not all(inputs):
            return
        measured = [{**row, **values} for row, values in zip(rows, inputs)]
        self.results[name] = means(measured, metrics) | by_group(measured, metrics)
        for row, values in zip(rows, inputs):
            figures = {
                f"{key}_{INPUT}": each
                for key, each in values.items()
                if not isinstance(each, SetShare)
            }
            self._images[name][row["image"]] = figures

    def columns(self, name: str, image: str) -> dict[str, float]:
        """Return psnr_input, … of an image; {} where they are not known."""
        return self._images.get(name, {}).get(image, {})
