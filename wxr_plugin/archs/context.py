"""Context of a network: embeddings of the photo, made by a frozen guide, that steer the network.

DA-CLIP (Luo et al., ICLR 2024) makes two embeddings, plain CLIP one. A network declares in
`context_inputs` which of them it takes and in `context_dim` their length; the caller passes a
`Context`. A network without these attributes takes none. Networks never load a guide themselves.
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
"""All embeddings, in the order of the fields of `Context`."""


class ContextError(WxrError):
    """A context that does not fit the network; the message names both shapes."""


class Context(NamedTuple):
    """Embeddings of N photos, (N, context_dim) each, not normalised; None where not needed."""

    content: Tensor | None = None
    """Content of the photo: one token for cross-attention."""
    degradation: Tensor | None = None
    """Degradation of the photo: becomes a prompt, see `DegradationPrompt`."""
    image: Tensor | None = None
    """Embedding by plain CLIP: a prior of the weather, see `cwp.WeatherPriors`."""


def context_inputs(network: nn.Module) -> tuple[str, ...]:
    """Return the members of `NAMES` that `network` takes; empty for one without a context."""
    return tuple(getattr(network, "context_inputs", ()))


def checked_inputs(inputs: Sequence[str], names: Sequence[str] = NAMES) -> tuple[str, ...]:
    """Return `inputs` without repetitions, in the order of NAMES.

    Raises:
        ValueError: `inputs` has a member that is not in `names`, or members of two guides.
    """
    if isinstance(inputs, str) or set(inputs) - set(names):
        raise ValueError(
            f"context is a list with one or more of {', '.join(names)}, not {inputs!r}"
        )
    if "image" in inputs and len(set(inputs)) > 1:
        raise ValueError(
            "image is made by a CLIP, content and degradation by a DA-CLIP: a network has one guide"
        )
    # The order of NAMES, whatever the order of the option file.
    return tuple(name for name in NAMES if name in inputs)


def check_context(context: Context | None, inputs: Sequence[str], context_dim: int) -> None:
    """Raise ContextError unless `context` has all of `inputs`, `context_dim` long."""
    for name in inputs:
        embedding = getattr(context, name, None)
        if embedding is None:
            raise ContextError(
                f"the network takes a context with {' and '.join(inputs)}; "
                f"it got no {name} embedding"
            )
        if embedding.dim() != 2 or embedding.shape[1] != context_dim:
            raise ContextError(
                f"the network takes {name} embeddings (N, {context_dim}), "
                f"the guide gives {tuple(embedding.shape)}: "
                f"set network_g.context_dim to {embedding.shape[-1]}, or take another guide"
            )


def unit(embedding: Tensor) -> Tensor:
    """Scale each row of `embedding` (N, D) to a root mean square of 1.

    Guides differ in scale: the entries of the tiny guide have a root mean square of 13 to 20.
    """
    return F.rms_norm(embedding, embedding.shape[-1:])


def degradation_prompt(
    degradation: Tensor,
    mlp: nn.Module,
    prompt: nn.Parameter,
    out: nn.Module,
) -> Tensor:
    """Return out(softmax(mlp(degradation)) * prompt), (N, D) (DA-CLIP, section 3.3).

    The softmax over the D entries weighs the entries of the learnt vector `prompt` (1, D).
    """
    weights = mlp(degradation).softmax(dim=1)
    return out(weights * prompt)


class DegradationPrompt(nn.Module):
    """Layer from a degradation embedding (N, context_dim) to a prompt (N, width).

    The prompt is added to a time or level embedding. The formula is the published one; the scales
    are ours. Embeddings are scaled to one length (`unit`), and the learnt vector starts `width`
    times larger, since the softmax makes its entries that much smaller: with torch's default
    initialisation the prompts of two degradations differ by 1e-5, too little for a short training.
    """

    def __init__(self, context_dim: int, width: int):
        super().__init__()
        self.text_mlp = nn.Sequential(
            nn.Linear(context_dim, width),
            nn.SiLU(),
            nn.Linear(width, width),
        )
        self.prompt = nn.Parameter(width * torch.rand(1, width))
        self.prompt_mlp = nn.Linear(width, width)
        # With four times the default weights the logits start about 1 apart.
        with torch.no_grad():
            self.text_mlp[2].weight.mul_(4)

    def forward(self, degradation: Tensor) -> Tensor:
        return degradation_prompt(unit(degradation), self.text_mlp, self.prompt, self.prompt_mlp)
