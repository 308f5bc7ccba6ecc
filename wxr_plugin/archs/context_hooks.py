"""Hooks by which a `Context` steers any U-Net.

The pattern is that of DA-CLIP's conditional U-Net (Luo et al., ICLR 2024): the degradation is added
to the time embedding, which scales and shifts the features of each level, and the content is a
token of cross-attention at the deepest level. A network without time has learnt level embeddings
instead (our choice). All hooks start as the identity: at first a network computes the same with
them as without.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wxr_plugin.archs.context import Context, DegradationPrompt, check_context, checked_inputs, unit
from wxr_plugin.archs.context_layers import SpatialTransformer

HEAD = 32
"""Channels of an attention head."""
PROMPT_WIDTH = 128
"""Length of prompts and level embeddings."""


class ContextHooks(nn.Module):
    """Hooks on the feature maps of a network with levels of the given `widths`, the deepest last.

    Args:
        inputs: which of `context.NAMES` are used.
        context_dim: length of the embeddings, as the guide gives them.
        widths: channels of the levels; the last one must be a multiple of 32 for `content`.

    Raises:
        ValueError: unknown inputs, or widths that do not fit.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        context_dim: int,
        widths: Sequence[int],
    ):
        super().__init__()
        self.inputs = checked_inputs(inputs)
        self.context_dim = context_dim
        if "degradation" in inputs:
            self.prompt = DegradationPrompt(context_dim, PROMPT_WIDTH)
            self.level_embedding = nn.Parameter(torch.zeros(len(widths), PROMPT_WIDTH))
            self.modulations = nn.ModuleList(
                zeroed(nn.Linear(PROMPT_WIDTH, 2 * width)) for width in widths
            )
        if "content" in inputs:
            self.attention = content_attention(widths[-1], context_dim)

    def prepare(self, context: Context | None) -> Tensor | None:
        """Return the prompt (N, 128) of a batch's degradations; None if they are not used.

        Called once per forward.

        Raises:
            ContextError: `context` lacks an embedding that the network takes, or has another
                length.
        """
        check_context(context, self.inputs, self.context_dim)
        if "degradation" not in self.inputs:
            return None
        return self.prompt(context.degradation)

    def level(self, number: int, x: Tensor, prompt: Tensor | None) -> Tensor:
        """Scale and shift the feature map `x` (N, C, H, W) of level `number` by `prompt`."""
        if prompt is None:
            return x
        embedding = nn.functional.silu(prompt + self.level_embedding[number])
        modulation = self.modulations[number](embedding)
        # (N, 2 C) -> two maps (N, C, 1, 1), both zero before training.
        scale, shift = modulation[..., None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift

    def deepest(self, x: Tensor, context: Context | None) -> Tensor:
        """Return the deepest feature map `x` (N, C, H, W) after attention to the content."""
        if "content" not in self.inputs:
            return x
        # One token for each photo: (N, context_dim) -> (N, 1, context_dim).
        token = unit(context.content)[:, None]
        return self.attention(x, token)


def content_attention(width: int, context_dim: int) -> SpatialTransformer:
    """Build self-attention and cross-attention to the content token for maps of `width` channels.

    Raises:
        ValueError: `width` is not a multiple of `HEAD`.
    """
    if width % HEAD:
        raise ValueError(
            f"content needs a deepest level whose channels are a multiple of {HEAD}; "
            f"there are {width}"
        )
    return SpatialTransformer(width, context_dim, width // HEAD, HEAD)


def zeroed(layer: nn.Linear) -> nn.Linear:
    """Set weight and bias of `layer` to zero and return it."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
