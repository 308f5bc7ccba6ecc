"""CWP: a decoder that attends to weather priors, CLIP's embedding of the photo and learnt vectors.

'Exploring the Application of Large-scale Pre-trained Models on Adverse Weather Removal' (Tan et
al., TIP 2024, arXiv 2306.09008): a weather prior of the sample from CLIP's image encoder, and
learnt parameters, through cross-attention. Only the abstract is public. Ours: tokens [MLP(c); P] or
P + MLP(c) with N learnt vectors P, shared by all levels; per level keys and values from them,
queries from normed features, and a gate that starts at zero. docs/sarcwp.md
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.archs.context import Context, check_context, unit
from wxr_plugin.archs.context_layers import ChannelNorm

DIM = 128
"""Length of a token."""
HEAD = 32
"""Channels of an attention head; a level with fewer has one head."""
JOINS = ("append", "add")
"""Ways to combine the embedding with the learnt vectors."""


class PriorAttention(nn.Module):
    """F + gamma * attention of the pixels of F (N, channels, H, W) to tokens (N, T, DIM).

    gamma starts at zero, so the layer starts as the identity.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.heads = max(1, channels // HEAD) if channels % HEAD == 0 else 1
        self.norm = ChannelNorm(channels)
        self.to_q = nn.Conv2d(channels, channels, 1, bias=False)
        self.to_kv = nn.Linear(DIM, 2 * channels, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        q = self.to_q(self.norm(x)).flatten(2)
        # Queries are pixels: (N, C, H W) -> (N, heads, H W, C / heads).
        q = q.unflatten(1, (self.heads, -1)).mT
        # Keys and values are tokens: (N, T, C) -> (N, heads, T, C / heads).
        parts = self.to_kv(tokens).chunk(2, dim=2)
        k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        attended = F.scaled_dot_product_attention(q, k, v)
        attended = attended.mT.flatten(1, 2).unflatten(2, x.shape[-2:])
        return x + self.gamma * attended


class WeatherPriors(nn.Module):
    """Attention of decoder features to weather priors; the identity without "image" in `inputs`.

    Args:
        inputs: which of `context.NAMES` the network takes.
        context_dim: length of the embedding, as the guide gives it.
        widths: channels of the levels, in the order of `level`'s numbers.
        vectors: number of learnt vectors; 48 is TransWeather's number of queries.
        join: append: the sample is one more token; add: it is added to every learnt vector.

    Raises:
        ValueError: `join` is neither append nor add.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        context_dim: int,
        widths: Sequence[int],
        vectors: int = 48,
        join: str = "append",
    ):
        super().__init__()
        if join not in JOINS:
            raise ValueError(
                f"the sample's prior joins the learnt vectors by one of {', '.join(JOINS)}, "
                f"not {join!r}"
            )
        self.join = join
        self.inputs = tuple(name for name in inputs if name == "image")
        self.context_dim = context_dim
        if self.inputs:
            self.mlp = nn.Sequential(
                nn.Linear(context_dim, DIM),
                nn.GELU(),
                nn.Linear(DIM, DIM),
            )
            self.vectors = nn.Parameter(torch.randn(vectors, DIM))
            self.levels = nn.ModuleList(PriorAttention(width) for width in widths)

    def tokens(self, context: Context | None) -> Tensor | None:
        """Return the tokens (N, T, DIM) of a batch; None if they are not used.

        T is 1 + vectors (append) or vectors (add).

        Raises:
            ContextError: `context` has no embedding of the image, or one of another length.
        """
        if not self.inputs:
            return None
        check_context(context, self.inputs, self.context_dim)
        # (N, context_dim) -> one token (N, 1, DIM)
        sample = self.mlp(unit(context.image))[:, None]
        learnt = self.vectors.expand(len(sample), -1, -1)
        if self.join == "append":
            return torch.cat((sample, learnt), dim=1)
        return learnt + sample

    def level(self, number: int, x: Tensor, tokens: Tensor | None) -> Tensor:
        """Return the features `x` (N, C, H, W) of level `number` after attention to the tokens."""
        return x if tokens is None else self.levels[number](x, tokens)
