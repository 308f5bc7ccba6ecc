"""What may steer a network besides the photo: the two embeddings that DA-CLIP makes of it (Luo et al., ICLR 2024).

A network says in `context_inputs` which of them it takes and in `context_dim` how long they are; whoever calls it hands
over a `Context`. A network without these attributes takes none. No network loads a guide.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

NAMES = ("content", "degradation")


class Context(NamedTuple):
    """Embeddings of N photos, (N, context_dim) each and not normalised; None where a network does not take one."""

    content: Tensor | None = None
    """What the photo shows: one token for cross-attention."""
    degradation: Tensor | None = None
    """What spoils it: becomes a prompt, see `DegradationPrompt`."""


def context_inputs(network: nn.Module) -> tuple[str, ...]:
    """Those of `NAMES` that `network` takes; empty for a network that knows of no context."""
    return tuple(getattr(network, "context_inputs", ()))


def degradation_prompt(degradation: Tensor, mlp: nn.Module, prompt: nn.Parameter, out: nn.Module) -> Tensor:
    """out(softmax(mlp(degradation)) * prompt), (N, D): weights of a learnt vector's entries (DA-CLIP, section 3.3)."""
    return out(mlp(degradation).softmax(dim=1) * prompt)


class DegradationPrompt(nn.Module):
    """A degradation embedding (N, context_dim) as a vector (N, width) that is added to a time or level embedding."""

    def __init__(self, context_dim: int, width: int):
        super().__init__()
        self.text_mlp = nn.Sequential(nn.Linear(context_dim, width), nn.SiLU(), nn.Linear(width, width))
        self.prompt = nn.Parameter(torch.rand(1, width))
        self.prompt_mlp = nn.Linear(width, width)

    def forward(self, degradation: Tensor) -> Tensor:
        return degradation_prompt(degradation, self.text_mlp, self.prompt, self.prompt_mlp)
