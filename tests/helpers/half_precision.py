"""Error of a network in half precision, compared with float32."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def bfloat16_error(net: nn.Module, *inputs: Tensor | int, skip: Tensor | float = 0.0) -> float:
    """Return the mean error under bfloat16 autocast, relative to the network's mean change.

    `skip` is the input that a residual network adds its change to, the degraded image: without it
    an output in [0, 1] would look close whatever the network computes.
    """
    exact = net(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        half = net(*inputs).float()
    return float((half - exact).abs().mean() / (exact - skip).abs().mean())
