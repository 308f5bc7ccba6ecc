"""Whether network, guide, equation and precision of a restorer go together."""

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from wxr_plugin.archs.context import context_inputs
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.diffusion import predicts_noise

if TYPE_CHECKING:
    from wxr_plugin.conditioning.guides import Guide

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PLAIN = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def checked_precision(precision: Precision, device: torch.device) -> Precision:
    """`precision`. Raises WxrError for none of PRECISIONS, and for fp16 on a CPU."""
    if precision not in PRECISIONS:
        raise WxrError(f"precision {precision!r}: take one of {', '.join(PRECISIONS)}")
    if precision == "fp16" and device.type == "cpu":
        raise WxrError(
            "fp16 is for GPUs, a CPU is slower with it than with fp32; take bf16, or fp32"
        )
    return precision


def guide_of(net: nn.Module, name: str | None, path: Path, device: str | None) -> "Guide | None":
    """The guide `name` of a network that takes a context, None for any other; `path` is where the network is from.

    Raises WxrError where the network needs one and no name is given.
    """
    if not context_inputs(net):
        return None
    wanted = context_inputs(net)
    if not name:
        kind = "CLIP" if "image" in wanted else "DA-CLIP"
        raise WxrError(f"{path} is steered by {' and '.join(wanted)}: add --guide with its {kind}")
    from wxr_plugin.conditioning.guides import load_guide

    return load_guide(wanted, name, device)


def check_called(net: nn.Module) -> None:
    """Raise WxrError for a network that takes more than a photo, and what goes with it."""
    needed = [
        p
        for p in inspect.signature(net.forward).parameters.values()
        if p.default is p.empty and p.kind in PLAIN
    ]
    if len(needed) > 1 + bool(context_inputs(net)) and not predicts_noise(net):
        names = ", ".join(parameter.name for parameter in needed)
        hint = (
            "; a DA-CLIP is a guide: give it with --guide" if type(net).__name__ == "DaCLIP" else ""
        )
        raise WxrError(
            f"{type(net).__name__} is no network that restores a photo: it takes ({names}){hint}"
        )


def check_guide(net: nn.Module, guide: "Guide | None") -> None:
    """Raise WxrError for a guide of a network that takes none, or whose embeddings have another length."""
    if guide and not context_inputs(net):
        raise WxrError("the network takes no guide")
    if guide and guide.dim != net.context_dim:
        raise WxrError(
            f"the guide '{guide.name}' gives embeddings of length {guide.dim}, the network takes "
            f"{net.context_dim}: "
            "restore with the guide that it was trained with"
        )


def check_diffusion(net: nn.Module, is_sampled: bool) -> None:
    """Raise WxrError unless a network that predicts noise, and no other, is sampled."""
    if predicts_noise(net) != is_sampled:
        what = "predicts noise, and no `sde` block says of what: add --opt with its option file"
        raise WxrError(
            f"the network {what if predicts_noise(net) else 'predicts no noise; leave `sde` out'}"
        )
