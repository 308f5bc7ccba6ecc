"""What an exported file states about its network: the metadata of ONNX and .pt2 files."""

import torch
from torch import nn

from wxr_plugin.inference import reach
from wxr_plugin.inference.engines.cache import package_version
from wxr_plugin.inference.engines.graphs import Sides
from wxr_plugin.inference.packaged import PACKAGED
from wxr_plugin.inference.specs import RestorerSpec
from wxr_plugin.zoo.rows import find_row

NOT_STATED = "not stated"


def facts_of(
    net: nn.Module, spec: RestorerSpec, sides: Sides, precision: str = "fp32"
) -> dict[str, str]:
    """Return the metadata of the exported `net` of `spec`: name -> value, all text."""
    return {
        "method": spec.row or spec.name,
        "licence": licence_of(spec),
        "network": type(net).__name__,
        "multiple": str(sides.multiple),
        "least": str(sides.least),
        "largest": str(sides.largest or "any"),
        "reach": reach_of(net),
        "precision": precision,
        "input": "RGB, float32, in [0, 1], (1, 3, height, width)",
        "output": "RGB, float32, not clamped, (1, 3, height, width)",
        "weights": spec.sha256(),
        "version": f"wxr_plugin {package_version()}, torch {torch.__version__}",
    }


def licence_of(spec: RestorerSpec) -> str:
    """Return the licence of the weights as far as it is known."""
    if spec.row:
        return find_row(spec.row).licence
    return "MIT" if spec.checkpoint in PACKAGED.values() else NOT_STATED


def reach_of(net: nn.Module) -> str:
    """Return the reach of a network in pixels, or the part that sees the whole image."""
    part = reach.whole_image_part(net)
    return f"whole image: {part}" if part else f"{reach.receptive_field(net)} pixels"
