"""How any network is steered by a `Context`: the degradation scales and shifts each level, the content is attended to.

The pattern is the conditional U-Net's of DA-CLIP (Luo et al., ICLR 2024), where the degradation
joins the time embedding and the content is a token of cross-attention at the deepest level. A
network without time has learnt level embeddings in its place (our choice). Everything added starts
as the identity: a network with hooks computes at first what it computes without them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wxr_plugin.archs.context import Context, DegradationPrompt, check_context, checked_inputs, unit
from wxr_plugin.archs.context_layers import SpatialTransformer

HEAD = 32
PROMPT_WIDTH = 128


class ContextHooks(nn.Module):
    """Steers the feature maps of a network with levels of the given `widths`, the deepest last.

    Args:
        inputs: which of `context.NAMES` are used.
        context_dim: length of the embeddings, as the guide gives them.
        widths: channels of the levels; the last one must be a multiple of 32 for `content`.

    Raises ValueError for unknown inputs or widths that do not fit.
    """

    def __init__(self, inputs: Sequence[str], context_dim: int, widths: Sequence[int]):
        super().__init__()
        self.inputs, self.context_dim = checked_inputs(inputs), context_dim
        if "degradation" in inputs:
            self.prompt = DegradationPrompt(context_dim, PROMPT_WIDTH)
            self.level_embedding = nn.Parameter(torch.zeros(len(widths), PROMPT_WIDTH))
            self.modulations = nn.ModuleList(
                zeroed(nn.Linear(PROMPT_WIDTH, 2 * width)) for width in widths
            )
        if "content" in inputs:
            self.attention = content_attention(widths[-1], context_dim)

    def prepare(self, context: Context | None) -> Tensor | None:
        """The prompt (N, 128) of a batch's degradations, once a forward; None when they are not used.

        Raises ContextError if `context` lacks what this network takes, or has another length.
        """
        check_context(context, self.inputs, self.context_dim)
        return self.prompt(context.degradation) if "degradation" in self.inputs else None

    def level(self, number: int, x: Tensor, prompt: Tensor | None) -> Tensor:
        """Level `number`'s feature map (N, C, H, W), scaled and shifted by `prompt`."""
        if prompt is None:
            return x
        steered = self.modulations[number](
            nn.functional.silu(prompt + self.level_embedding[number])
        )
        scale, shift = steered[..., None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift

    def deepest(self, x: Tensor, context: Context | None) -> Tensor:
        """The deepest feature map (N, C, H, W) after attention to the content."""
        return self.attention(x, unit(context.content)[:, None]) if "content" in self.inputs else x


def content_attention(width: int, context_dim: int) -> SpatialTransformer:
    """Self-attention, and cross-attention to the content token, of a map with `width` channels."""
    if width % HEAD:
        raise ValueError(
            f"content needs a deepest level whose channels are a multiple of {HEAD}; there are "
            f"{width}"
        )
    return SpatialTransformer(width, context_dim, width // HEAD, HEAD)


def zeroed(layer: nn.Linear) -> nn.Linear:
    """`layer` with weight and bias zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
