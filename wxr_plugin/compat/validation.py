"""Repairs of validation and metrics."""

from collections.abc import Callable
from typing import Any

from wxr_plugin.compat.machinery import lacks, repairs


@repairs("basicsr.models.sr_model:SRModel.nondist_validation", lacks("usable_metrics"))
def nondist_validation(
    original: Callable, self: Any, dataloader: Any, *args: Any, **kwargs: Any
) -> None:
    """Validate each set by its own metrics, without ground truth by no-reference ones.

    Stock applies val.metrics to every set, sums under the names of the first one, and compares a
    first image without ground truth with the last one of the training (BasicSR#547).
    """
    before = self.opt["val"].get("metrics")
    self.opt["val"]["metrics"] = _metrics_of(self, dataloader.dataset, before) or None
    # Left by the set before: results under its names, and its last ground truth.
    for left_over in ("metric_results", "gt"):
        vars(self).pop(left_over, None)
    try:
        original(self, dataloader, *args, **kwargs)
    finally:
        self.opt["val"]["metrics"] = before


def _metrics_of(model: Any, dataset: Any, common: dict | None) -> dict:
    """Return the metrics of `dataset`, or `common` if it has none, that its images allow.

    The omitted ones are logged once for each set that `model` validates.
    """
    from basicsr.utils import get_root_logger

    from wxr_plugin.models.base.val_metrics import usable_metrics
    from wxr_plugin.utils.rng import preserved_rng

    metrics = dataset.opt.get("metrics", common) or {}
    # No metric needs ground truth, so no image has to be read.
    if usable_metrics(metrics, False) == metrics:
        return metrics
    with preserved_rng():  # the first sample may be random
        has_gt = len(dataset) > 0 and "gt" in dataset[0]
    usable = usable_metrics(metrics, has_gt)
    omitted = ", ".join(name for name in metrics if name not in usable)
    logged = vars(model).setdefault("logged_without_gt", set())
    name = dataset.opt["name"]
    if omitted and name not in logged:
        get_root_logger().warning(f"Validation {name}: no ground truth, so no {omitted}.")
        logged.add(name)
    return usable


@repairs("basicsr.metrics.niqe:niqe", lacks("LinAlgError"))
def niqe(
    original: Callable,
    img: Any,
    *args: Any,
    block_size_h: int = 96,
    block_size_w: int = 96,
    **kwargs: Any,
) -> float:
    """Explain an image too small or too flat for NIQE, where numpy says "SVD did not converge".

    No upstream thread known.
    """
    import numpy as np

    try:
        return original(img, *args, block_size_h=block_size_h, block_size_w=block_size_w, **kwargs)
    except (np.linalg.LinAlgError, ValueError) as error:
        height, width = img.shape[:2]
        raise ValueError(
            f"NIQE needs at least two textured blocks of {block_size_h}x{block_size_w} pixels; "
            f"this image, after its borders were cropped, is {height}x{width}. Leave "
            "calculate_niqe out for this set."
        ) from error
