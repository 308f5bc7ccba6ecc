"""What may steer a network besides the photo: embeddings that a frozen guide makes of it.

DA-CLIP (Luo et al., ICLR 2024) makes two of them, plain CLIP one. A network says in
`context_inputs` which of them it takes and in `context_dim` how long they are; whoever calls it
hands over a `Context`. A network without these attributes takes none. No network loads a guide.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.errors import WxrError

STEERING = ("content", "degradation")
"""The embeddings of a DA-CLIP."""
NAMES = (*STEERING, "image")


class ContextError(WxrError):
    """A context that does not fit the network: says what both are."""


class Context(NamedTuple):
    """Embeddings of N photos, (N, context_dim) each and not normalised; None where a network does not take one."""

    content: Tensor | None = None
    """What the photo shows: one token for cross-attention."""
    degradation: Tensor | None = None
    """What spoils it: becomes a prompt, see `DegradationPrompt`."""
    image: Tensor | None = None
    """Plain CLIP's embedding of it: a prior of its weather, see `cwp.WeatherPriors`."""


def context_inputs(network: nn.Module) -> tuple[str, ...]:
    """Those of `NAMES` that `network` takes; empty for a network that knows of no context."""
    return tuple(getattr(network, "context_inputs", ()))


def checked_inputs(inputs: Sequence[str], names: Sequence[str] = NAMES) -> tuple[str, ...]:
    """`inputs` in the order of NAMES.

    Raises ValueError for what is none of `names`, or of two guides.
    """
    if isinstance(inputs, str) or set(inputs) - set(names):
        raise ValueError(
            f"context is a list with one or more of {', '.join(names)}, not {inputs!r}"
        )
    if "image" in inputs and len(set(inputs)) > 1:
        raise ValueError(
            "image is made by a CLIP, content and degradation by a DA-CLIP: a network has one guide"
        )
    return tuple(name for name in NAMES if name in inputs)


def check_context(context: Context | None, inputs: Sequence[str], context_dim: int) -> None:
    """Raise ContextError unless `context` has all of `inputs`, `context_dim` long."""
    for name in inputs:
        embedding = getattr(context, name, None)
        if embedding is None:
            raise ContextError(
                f"the network takes a context with {' and '.join(inputs)}; it got no {name} "
                f"embedding"
            )
        if embedding.dim() != 2 or embedding.shape[1] != context_dim:
            raise ContextError(
                f"the network takes {name} embeddings (N, {context_dim}), the guide gives "
                f"{tuple(embedding.shape)}: "
                f"set network_g.context_dim to {embedding.shape[-1]}, or take another guide"
            )


def unit(embedding: Tensor) -> Tensor:
    """`embedding` (N, D) with entries of root mean square 1: guides differ, and the tiny one's are 13 to 20."""
    return F.rms_norm(embedding, embedding.shape[-1:])


def degradation_prompt(
    degradation: Tensor, mlp: nn.Module, prompt: nn.Parameter, out: nn.Module
) -> Tensor:
    """out(softmax(mlp(degradation)) * prompt), (N, D): weights of a learnt vector's entries (DA-CLIP, section 3.3)."""
    return out(mlp(degradation).softmax(dim=1) * prompt)


class DegradationPrompt(nn.Module):
    """A degradation embedding (N, context_dim) as a vector (N, width) that is added to a time or level embedding.

    The formula is the published one; the scales are ours. Embeddings are brought to one length
    (`unit`), and the learnt vector starts `width` times larger, since the softmax makes its entries
    that much smaller: with torch's own start two degradations differ by 1e-5 here, and a short
    training does not get to use them.
    """

    def __init__(self, context_dim: int, width: int):
        super().__init__()
        self.text_mlp = nn.Sequential(
            nn.Linear(context_dim, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.prompt = nn.Parameter(width * torch.rand(1, width))
        self.prompt_mlp = nn.Linear(width, width)
        with torch.no_grad():
            self.text_mlp[2].weight.mul_(4)  # so that the logits start about 1 apart

    def forward(self, degradation: Tensor) -> Tensor:
        return degradation_prompt(unit(degradation), self.text_mlp, self.prompt, self.prompt_mlp)
