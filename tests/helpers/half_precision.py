"""How far a network in half precision is from itself in float32."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def bfloat16_error(net: nn.Module, *inputs: Tensor | int, skip: Tensor | float = 0.0) -> float:
    """Return the mean error under bfloat16 autocast as a share of the mean absolute value of what the network adds.

    `skip` is what the network adds to, the degraded image of a residual network: without it an
    output in [0, 1] would look close whatever the network computes.
    """
    exact = net(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        half = net(*inputs).float()
    return float((half - exact).abs().mean() / (exact - skip).abs().mean())
