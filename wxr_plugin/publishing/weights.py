"""The weights and the configuration of a network as files that load without anything else."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from wxr_plugin.checkpoints.containers import load_network_options
from wxr_plugin.errors import WxrError
from wxr_plugin.hub import is_reference
from wxr_plugin.inference.specs import RestorerSpec
from wxr_plugin.utils.files import write_bytes, write_text

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
BLOCKS = ("network_g", "sde", "ddpm", "guide")
"""Blocks of options that restoring reads next to weights."""
Blocks = dict[str, dict[str, Any]]


def blocks_of(spec: RestorerSpec) -> Blocks:
    """Return the blocks of options that a restorer needs: its own, or those of its checkpoint.

    Raises:
        WxrError: the network is not known, or its guide is a file of this machine.
    """
    given = {"network_g": spec.network, "sde": spec.sde}
    if spec.guide:
        given["guide"] = {"model": spec.guide}
    blocks = {}
    for name in BLOCKS:
        block = given.get(name) or load_network_options(spec.checkpoint, name)
        if block:
            blocks[name] = dict(block)
    if "network_g" not in blocks:
        raise WxrError(
            f"{spec.checkpoint} does not say which network it is for; add --opt with the option "
            "file it came from"
        )
    _check_guide(blocks.get("guide", {}).get("model"), spec.checkpoint)
    return blocks


def write_weights(folder: Path, net: nn.Module, blocks: Blocks) -> None:
    """Write model.safetensors and config.json of a network into `folder`."""
    metadata = {name: json.dumps(block) for name, block in blocks.items()}
    tensors = _smallest(net.state_dict())
    write_bytes(folder / WEIGHTS, save(tensors, metadata={"format": "pt", **metadata}))
    config = {
        "library_name": "wxr_plugin",
        "wxr_plugin_version": version(),
        "architectures": [blocks["network_g"].get("type")],
        **blocks,
    }
    write_text(folder / CONFIG, json.dumps(config, indent=2) + "\n")


def version() -> str:
    """Return the version of this package."""
    # Not imported above: the package itself stands on the highest floor.
    return sys.modules["wxr_plugin"].__version__


def _smallest(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as tensors of their own, in float16 if all of them keep their values in it."""
    copies = {}
    for name, tensor in weights.items():
        # safetensors refuses tensors that share memory, and other orders of it.
        copies[name] = tensor.detach().cpu().contiguous().clone()
    halves = {}
    for name, tensor in copies.items():
        half = tensor.half() if tensor.dtype is torch.float32 else tensor
        if not torch.equal(half.to(tensor.dtype), tensor):
            return copies
        halves[name] = half
    return halves


def _check_guide(name: str | None, checkpoint: Path) -> None:
    """Raise WxrError if a guide is a file, which nobody else has."""
    if not name or is_reference(name):
        return
    if Path(name.removeprefix("local-dir:")).expanduser().exists():
        raise WxrError(
            f"{checkpoint}: is guided by {name}, a file of this machine; put it on the hub, too, "
            "and name it with --guide hf://OWNER/NAME/FILE"
        )
