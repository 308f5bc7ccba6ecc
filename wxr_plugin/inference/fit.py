"""Checks that network, guide, equation and precision of a restorer go together."""

import inspect
from typing import TYPE_CHECKING

import torch
from torch import nn

from wxr_plugin.archs.context import context_inputs
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.diffusion import predicts_noise
from wxr_plugin.inference.packaged import Precision

if TYPE_CHECKING:
    from wxr_plugin.conditioning.guides import Guide

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PLAIN = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def checked_precision(precision: Precision, device: torch.device) -> Precision:
    """Return `precision`; raise WxrError if it is not in PRECISIONS, and for fp16 on a CPU."""
    if precision not in PRECISIONS:
        raise WxrError(f"precision {precision!r}: take one of {', '.join(PRECISIONS)}")
    if precision == "fp16" and device.type == "cpu":
        raise WxrError(
            "fp16 is for GPUs, a CPU is slower with it than with fp32; take bf16, or fp32"
        )
    return precision


def check_called(net: nn.Module) -> None:
    """Raise WxrError for a network that takes more than a photo, a context and a time."""
    parameters = inspect.signature(net.forward).parameters.values()
    needed = [
        parameter
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind in PLAIN
    ]
    # A photo, perhaps a context; networks that predict noise also take a state and a time.
    expected = 1 + bool(context_inputs(net))
    if len(needed) > expected and not predicts_noise(net):
        names = ", ".join(parameter.name for parameter in needed)
        hint = (
            "; a DA-CLIP is a guide: give it with --guide" if type(net).__name__ == "DaCLIP" else ""
        )
        raise WxrError(f"{type(net).__name__} does not restore photos: it takes ({names}){hint}")


def check_guide(net: nn.Module, guide: "Guide | None") -> None:
    """Raise WxrError if the network takes no guide, or embeddings of another length."""
    if guide and not context_inputs(net):
        raise WxrError("the network takes no guide")
    if guide and guide.dim != net.context_dim:
        raise WxrError(
            f"the guide '{guide.name}' gives embeddings of length {guide.dim}, the network takes "
            f"{net.context_dim}: restore with the guide that it was trained with"
        )


def check_diffusion(net: nn.Module, is_sampled: bool) -> None:
    """Raise WxrError unless a network that predicts noise, and no other, is sampled."""
    if predicts_noise(net) and not is_sampled:
        raise WxrError(
            "the network predicts noise, and no `sde` block says of what: add --opt with its "
            "option file"
        )
    if is_sampled and not predicts_noise(net):
        raise WxrError("the network predicts no noise; leave `sde` out")
