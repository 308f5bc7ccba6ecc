"""Metrics of a benchmark: the known ones, and any that is registered."""

import inspect
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal

import msgspec
import yaml

METRICS_FILE = resources.files(__package__) / "metrics.yml"
NATIVE = ("calculate_psnr", "calculate_ssim")
"""Registered metrics without a network, which are measured together."""


class Metric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A metric: its `block` as in `val.metrics`, and whether it is `of` an image or a set."""

    title: str
    better: Literal["higher", "lower"] = "higher"
    digits: int = 3
    block: dict[str, Any] = {}
    needs_gt: bool = False
    of: Literal["image", "set"] = "image"


@cache
def known_metrics() -> dict[str, Metric]:
    """Return the known metrics, keyed by name."""
    blocks = yaml.safe_load(METRICS_FILE.read_text(encoding="utf-8"))
    return msgspec.convert(blocks, dict[str, Metric])


def metric_block(name: str, block: Mapping[str, Any], crop_border: int) -> dict[str, Any]:
    """Return the block for BasicSR's registry: that of the known metric, updated by `block`.

    `crop_border` is added if the metric takes it and the block does not set it.
    """
    whole = dict(block)
    # A block with a type is a metric of its own, even under the name of a known one.
    if "type" not in block and name in known_metrics():
        defaults = known_metrics()[name].block
        whole = {**defaults, **block}
    if "crop_border" in _parameters(whole.get("type")):
        return {"crop_border": crop_border, **whole}
    return whole


def build_metric(name: str, block: Mapping[str, Any], crop_border: int) -> Metric:
    """Return the metric of one entry under `metrics`, which must have been checked."""
    default = known_metrics().get(name, Metric(name))
    whole = metric_block(name, block, crop_border)
    better = whole.pop("better", default.better)
    type_name = whole["type"]
    return Metric(
        title=default.title,
        better=better,
        digits=default.digits,
        block=whole,
        needs_gt=_needs_gt(type_name),
        of=_subject(type_name),
    )


def _parameters(type_name: Any) -> Mapping[str, inspect.Parameter]:
    from wxr_plugin.options.checks.components import registered

    function = registered("metric").get(type_name)
    # An unknown type is reported by the check of the metric.
    if function is None:
        return {}
    return inspect.signature(function).parameters


def _needs_gt(type_name: str) -> bool:
    from wxr_plugin.models.base.val_metrics import usable_metrics

    return not usable_metrics({"": {"type": type_name}}, with_gt=False)


def _subject(type_name: str) -> Literal["image", "set"]:
    """Return whether the metric is a figure of one image or of a whole set."""
    from basicsr.utils.registry import METRIC_REGISTRY

    from wxr_plugin.metrics.set_share import SetShare

    # A metric of a whole set is annotated to return the share of one image.
    function = METRIC_REGISTRY.get(type_name)
    result = inspect.signature(function).return_annotation
    is_share = inspect.isclass(result) and issubclass(result, SetShare)
    return "set" if is_share else "image"
