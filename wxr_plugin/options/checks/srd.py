"""CLIP-SRD in an option file: does its CLIP have feature maps, are the crops large enough, and is there a clean image?

Nothing is built: what a CLIP has is told from its configuration.
"""

from collections.abc import Mapping
from typing import Any

from wxr_plugin.errors import WxrError
from wxr_plugin.options.checks.components import registered
from wxr_plugin.options.checks.fields import parameters_of
from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.checks.rules import block

WITHOUT_GT = ("SingleImageDataset", "RealWeatherDataset")
"""Data sets that yield degraded photos alone."""


def check_srd(report: Report, opt: Mapping[str, Any]) -> None:
    """Check `train.srd_opt` against network_g and the training set; nothing where there is none."""
    loss = block(opt, "train", "srd_opt")
    if loss.get("type") != "ClipSRDLoss":
        return
    _check_clean(report, opt)
    if "sar" in _parameters(opt) and not _argument(opt, "sar"):
        what = f"network_g ({opt['network_g']['type']}) has no masks to train"
        report.add(("train", "srd_opt"), what, "set network_g.sar: spatial, or take srd_opt out")
    clip, layers = loss.get("clip", "tiny"), loss.get("layers", [1, 2, 3, 4])
    if (
        isinstance(clip, str)
        and isinstance(layers, list)
        and all(isinstance(layer, int) for layer in layers)
    ):
        _check_maps(report, clip, layers, block(opt, "datasets", "train").get("gt_size"))


def _check_clean(report: Report, opt: Mapping[str, Any]) -> None:
    kind = block(opt, "datasets", "train").get("type")
    if kind in WITHOUT_GT:
        what = f"compares each photo with the clean one, and datasets.train ({kind}) yields none"
        report.add(
            ("train", "srd_opt"), what, "train on pairs (PairedWeatherDataset, DegradationDataset)"
        )


def _check_maps(report: Report, clip: str, layers: list[int], size: Any) -> None:
    from wxr_plugin.conditioning.clip_spatial import configured_tower, too_small
    from wxr_plugin.losses.clip_srd_loss import LEAST_POSITIONS

    try:
        tower = configured_tower(clip)
    except WxrError as error:
        report.add(("train", "srd_opt", "clip"), str(error))
        return
    if tower is None:
        return
    try:
        tower.check(layers, clip)
    except WxrError as error:
        report.add(("train", "srd_opt", "layers"), str(error))
        return
    if isinstance(size, int) and size < tower.least(layers, LEAST_POSITIONS):
        report.add(
            ("datasets", "train", "gt_size"), too_small(clip, tower, layers, size, LEAST_POSITIONS)
        )


def _parameters(opt: Mapping[str, Any]) -> Mapping[str, Any]:
    item = registered("network").get(str(block(opt, "network_g").get("type")))
    return (parameters_of(item) or {}) if item else {}


def _argument(opt: Mapping[str, Any], name: str) -> Any:
    return block(opt, "network_g").get(name, _parameters(opt)[name].default)
