"""Check CLIP-SRD: its CLIP has feature maps, the crops are large enough, and photos are paired.

Nothing is built: the layers of a CLIP come from its configuration.
"""

from typing import Any

from wxr_plugin.errors import WxrError
from wxr_plugin.options.checks.components import class_of
from wxr_plugin.options.checks.fields import parameters_of
from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.nested import OptionMap, block, integer

WITHOUT_GT = ("SingleImageDataset", "RealWeatherDataset")
"""Datasets that yield degraded photos alone."""


def check_srd(report: Report, opt: OptionMap) -> None:
    """Check `train.srd_opt`, if there is one, against network_g and the training set."""
    loss = block(opt, "train", "srd_opt")
    if loss.get("type") != "ClipSRDLoss":
        return
    _check_clean(report, opt)
    has_choice = "sar" in _parameters(opt)
    if has_choice and not _argument(opt, "sar"):
        kind = opt["network_g"]["type"]
        fault = f"network_g ({kind}) has no masks to train"
        report.add("train.srd_opt", fault, "set network_g.sar: spatial, or take srd_opt out")
    # The defaults are those of ClipSRDLoss.
    clip = loss.get("clip", "tiny")
    layers = loss.get("layers", [1, 2, 3, 4])
    if not isinstance(clip, str) or not isinstance(layers, list):
        return
    if all(isinstance(layer, int) for layer in layers):
        size = integer(opt, "datasets", "train", "gt_size")
        _check_maps(report, clip, layers, size)


def _check_clean(report: Report, opt: OptionMap) -> None:
    kind = block(opt, "datasets", "train").get("type")
    if kind in WITHOUT_GT:
        fault = f"compares each photo with a clean one, and datasets.train ({kind}) yields none"
        fix = "train on pairs (PairedWeatherDataset, DegradationDataset)"
        report.add("train.srd_opt", fault, fix)


def _check_maps(report: Report, clip: str, layers: list[int], size: int | None) -> None:
    """Check the layers and the crop size against the feature maps of `clip`."""
    from wxr_plugin.conditioning.clip_spatial import configured_tower, too_small
    from wxr_plugin.losses.clip_srd_loss import LEAST_POSITIONS

    try:
        tower = configured_tower(clip)
    except WxrError as error:
        report.add("train.srd_opt.clip", str(error))
        return
    if tower is None:
        return
    try:
        tower.check(layers, clip)
    except WxrError as error:
        report.add("train.srd_opt.layers", str(error))
        return
    if size is not None and size < tower.least(layers, LEAST_POSITIONS):
        fault = too_small(clip, tower, layers, size, LEAST_POSITIONS)
        report.add("datasets.train.gt_size", fault)


def _parameters(opt: OptionMap) -> OptionMap:
    cls = class_of("network", block(opt, "network_g"))
    return (parameters_of(cls) or {}) if cls else {}


def _argument(opt: OptionMap, name: str) -> Any:
    """Return an argument of network_g, or its default."""
    return block(opt, "network_g").get(name, _parameters(opt)[name].default)
