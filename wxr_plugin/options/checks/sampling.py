"""Diffusions: more steps than were trained, gaps between patches, another equation than that of the weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from wxr_plugin.checkpoints.containers import load_network_options
from wxr_plugin.errors import WxrError
from wxr_plugin.options.checks.components import registered
from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.checks.rules import block
from wxr_plugin.sampling.options import DDPMOptions, SDEOptions
from wxr_plugin.sampling.schedules import STEPS


def check_sampling(report: Report, opt: Mapping[str, Any]) -> None:
    """IRSDEModel: `val.sampling` against `sde` and, in a file for testing, `sde` against that of the weights.

    PatchDDPMModel: `val.sampling` and gt_size against `ddpm`.
    """
    models = {cls.__name__ for cls in _bases(opt)}
    if "PatchDDPMModel" in models:
        _check_patches(report, opt)
    if "IRSDEModel" in models:
        _check_equation(report, opt)


def _check_equation(report: Report, opt: Mapping[str, Any]) -> None:
    trained, sampled = (
        block(opt, "sde").get("steps", STEPS),
        block(opt, "val", "sampling").get("steps"),
    )
    if isinstance(trained, int) and isinstance(sampled, int) and sampled > trained:
        what = f"sampling takes {sampled} steps, but the network is trained on a schedule of {trained} (sde.steps)"
        report.add(("val", "sampling", "steps"), what, f"take {trained} or fewer")
    if not report.is_train:
        _check_trained(report, opt)


def _check_patches(report: Report, opt: Mapping[str, Any]) -> None:
    """Values of the wrong type are left to the check of blocks."""
    default, how, keys = DDPMOptions(), block(opt, "val", "sampling"), ("val", "sampling")
    trained, patch = (
        block(opt, "ddpm").get(name, getattr(default, name)) for name in ("steps", "patch")
    )
    steps, stride, size = (
        how.get("steps"),
        how.get("stride"),
        block(opt, "datasets", "train").get("gt_size"),
    )
    if isinstance(trained, int) and isinstance(steps, int) and steps > trained:
        what = f"sampling takes {steps} steps, but the network is trained on {trained} (ddpm.steps)"
        report.add((*keys, "steps"), what, f"take {trained} or fewer")
    if isinstance(patch, int) and isinstance(stride, int) and stride > patch:
        what = f"{stride} leaves gaps between patches of {patch} pixels (ddpm.patch)"
        report.add((*keys, "stride"), what, f"take {patch} or less")
    if isinstance(patch, int) and isinstance(size, int) and size < patch:
        what = f"a crop of {size} pixels holds no patch of {patch} pixels (ddpm.patch)"
        report.add(("datasets", "train", "gt_size"), what, f"take {patch} or more")


def _check_trained(report: Report, opt: Mapping[str, Any]) -> None:
    weights = block(opt, "path").get("pretrain_network_g")
    trained = _stored(weights) if isinstance(weights, str) else None
    try:
        asked = msgspec.to_builtins(SDEOptions.read(block(opt, "sde")))
    except msgspec.ValidationError:  # the check of blocks tells
        return
    for key, value in (trained or {}).items():
        if key in asked and asked[key] != value:
            what = f"{asked[key]}, but {weights} was trained with {value}"
            report.add(("sde", key), what, f"set sde.{key}: {value}")


def _stored(weights: str) -> dict[str, Any] | None:
    """The `sde` block in a file of weights; None where there is none, or no such file."""
    try:
        return load_network_options(Path(weights).expanduser(), "sde")
    except (OSError, WxrError):  # loading tells
        return None


def _bases(opt: Mapping[str, Any]) -> tuple[type, ...]:
    return getattr(registered("model").get(str(opt.get("model_type"))), "__mro__", ())
