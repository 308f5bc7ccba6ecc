"""Metrics of a benchmark: the known ones by name, and any that is registered."""

import inspect
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal

import msgspec
import yaml

METRICS_FILE = resources.files(__package__) / "metrics.yml"
NATIVE = ("calculate_psnr", "calculate_ssim")
"""Metrics without a network, which are measured together."""


class Metric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A metric as it is measured: `block` as in `val.metrics`, `of` an image or a set."""

    title: str
    better: Literal["higher", "lower"] = "higher"
    digits: int = 3
    block: dict[str, Any] = {}
    needs_gt: bool = False
    of: Literal["image", "set"] = "image"


@cache
def known_metrics() -> dict[str, Metric]:
    """The known metrics by name."""
    return msgspec.convert(
        yaml.safe_load(METRICS_FILE.read_text(encoding="utf-8")), dict[str, Metric]
    )


def metric_block(name: str, block: Mapping[str, Any], crop_border: int) -> dict[str, Any]:
    """What BasicSR's registry is asked for: the block of the file over that of the known metric and `crop_border`."""
    known = {} if "type" in block or name not in known_metrics() else known_metrics()[name].block
    whole = {**known, **block}
    takes = "crop_border" in _parameters(whole.get("type"))
    return {"crop_border": crop_border, **whole} if takes else whole


def build_metric(name: str, block: Mapping[str, Any], crop_border: int) -> Metric:
    """The metric of one entry under `metrics`, checked before."""
    known = known_metrics().get(name, Metric(name))
    whole = metric_block(name, block, crop_border)
    better = whole.pop("better", known.better)
    return Metric(known.title, better, known.digits, whole, *_nature(whole["type"]))


def _parameters(type_name: Any) -> Mapping[str, inspect.Parameter]:
    from wxr_plugin.options.checks.components import registered

    function = registered("metric").get(type_name)
    return inspect.signature(function).parameters if function else {}


def _nature(type_name: str) -> tuple[bool, str]:
    """Whether it compares with a ground truth, and what it is a figure of."""
    from basicsr.utils.registry import METRIC_REGISTRY

    from wxr_plugin.metrics.set_share import SetShare
    from wxr_plugin.models.base.val_metrics import usable_metrics

    result = inspect.signature(METRIC_REGISTRY.get(type_name)).return_annotation
    of_set = inspect.isclass(result) and issubclass(result, SetShare)
    return not usable_metrics(
        {"": {"type": type_name}}, with_gt=False
    ), "set" if of_set else "image"
