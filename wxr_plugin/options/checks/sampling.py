"""Check diffusion models: sampling steps, gaps between patches, and the equation of the weights."""

from typing import Any

import msgspec

from wxr_plugin.checkpoints.containers import load_network_options
from wxr_plugin.errors import WxrError
from wxr_plugin.hub import cached_file
from wxr_plugin.options.checks.components import model_class
from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.nested import OptionMap, block, integer
from wxr_plugin.sampling.options import DDPMOptions, SDEOptions
from wxr_plugin.sampling.schedules import STEPS


def check_sampling(report: Report, opt: OptionMap) -> None:
    """Check the sampling options of IRSDEModel and PatchDDPMModel.

    IRSDEModel: `val.sampling` against `sde` and, in a file for testing, `sde` against that of the
    weights. PatchDDPMModel: `val.sampling` and gt_size against `ddpm`.
    """
    names = {cls.__name__ for cls in getattr(model_class(opt), "__mro__", ())}
    if "PatchDDPMModel" in names:
        _check_patches(report, opt)
    if "IRSDEModel" in names:
        _check_equation(report, opt)


def _check_equation(report: Report, opt: OptionMap) -> None:
    """Check the steps and, in a file for testing, `sde` against that of the weights."""
    defaults = {"steps": STEPS}
    sde = {**defaults, **block(opt, "sde")}
    trained = integer(sde, "steps")
    _check_steps(report, opt, trained, f"a schedule of {trained} (sde.steps)")
    if not report.is_train:
        _check_trained(report, opt)


def _check_steps(report: Report, opt: OptionMap, trained: int | None, words: str) -> None:
    """Check that validation takes at most the steps of training; `words` describe these."""
    sampled = integer(opt, "val", "sampling", "steps")
    if trained is None or sampled is None:
        return
    if sampled > trained:
        fault = f"sampling takes {sampled} steps, but the network is trained on {words}"
        report.add("val.sampling.steps", fault, f"take {trained} or fewer")


def _check_patches(report: Report, opt: OptionMap) -> None:
    """Check steps, stride and gt_size; the check of blocks reports values of the wrong type."""
    default = DDPMOptions()
    ddpm = {"steps": default.steps, "patch": default.patch, **block(opt, "ddpm")}
    trained = integer(ddpm, "steps")
    _check_steps(report, opt, trained, f"{trained} (ddpm.steps)")
    patch = integer(ddpm, "patch")
    if patch is None:
        return
    stride = integer(opt, "val", "sampling", "stride")
    if stride is not None and stride > patch:
        fault = f"{stride} leaves gaps between patches of {patch} pixels (ddpm.patch)"
        report.add("val.sampling.stride", fault, f"take {patch} or less")
    size = integer(opt, "datasets", "train", "gt_size")
    if size is not None and size < patch:
        fault = f"a crop of {size} pixels holds no patch of {patch} pixels (ddpm.patch)"
        report.add("datasets.train.gt_size", fault, f"take {patch} or more")


def _check_trained(report: Report, opt: OptionMap) -> None:
    """Compare `sde` with the equation that is stored next to the weights."""
    weights = block(opt, "path").get("pretrain_network_g")
    if not isinstance(weights, str):
        return
    trained = _stored(weights) or {}
    try:
        options = SDEOptions.read(block(opt, "sde"))
    except msgspec.ValidationError:  # the check of blocks reports it
        return
    requested = msgspec.to_builtins(options)
    for key, value in trained.items():
        if key not in requested:
            continue
        own = requested[key]
        if own != value:
            fault = f"{own}, but {weights} was trained with {value}"
            report.add(("sde", key), fault, f"set sde.{key}: {value}")


def _stored(weights: str) -> dict[str, Any] | None:
    """Return the `sde` block of a file of weights; None if there is no such block or file.

    The hub is not asked.
    """
    try:
        file = cached_file(weights)
        return load_network_options(file, "sde") if file else None
    except (OSError, WxrError):  # loading the weights reports it
        return None
