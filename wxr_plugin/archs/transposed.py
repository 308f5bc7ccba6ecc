"""Restormer's blocks of attention over channels (Zamir et al., CVPR 2022), for other networks.

Attributes have the authors' names, which those networks use as well.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of every pixel."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class TransposedAttention(nn.Module):
    """Self-attention with channels as tokens, so that the cost is linear in pixels (MDTA)."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.qkv_dwconv = nn.Conv2d(
            3 * channels,
            3 * channels,
            3,
            padding=1,
            groups=3 * channels,
            bias=False,
        )
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv_dwconv(self.qkv(x))  # (N, 3 C, H, W)
        q, k, v = (by_head(part, self.heads) for part in qkv.chunk(3, dim=1))
        result = attended(q, k, v, self.temperature)
        return self.project_out(result.reshape(x.shape))


class GatedFeedForward(nn.Module):
    """Two depthwise-convolved halves, one of which gates the other (GDFN)."""

    def __init__(self, channels: int, expansion: float):
        super().__init__()
        # Rounded down, as published: 2.66 * 48 gives 127.
        hidden = int(channels * expansion)
        self.project_in = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.dwconv = nn.Conv2d(
            2 * hidden,
            2 * hidden,
            3,
            padding=1,
            groups=2 * hidden,
            bias=False,
        )
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.dwconv(self.project_in(x))
        gate, value = hidden.chunk(2, dim=1)
        return self.project_out(F.gelu(gate) * value)


class TransformerBlock(nn.Module):
    """Pre-norm attention over channels and gated layer, both residual."""

    def __init__(
        self,
        channels: int,
        heads: int,
        expansion: float,
    ):
        super().__init__()
        self.norm1 = ChannelNorm(channels)
        self.norm2 = ChannelNorm(channels)
        self.attn = TransposedAttention(channels, heads)
        self.ffn = GatedFeedForward(channels, expansion)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


def by_head(x: Tensor, heads: int) -> Tensor:
    """Reshape (N, C, H, W) to (N, heads, C / heads, H * W)."""
    return x.reshape(x.shape[0], heads, x.shape[1] // heads, -1)


def attended(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    temperature: Tensor,
) -> Tensor:
    """Return softmax(temperature * cos(q, k)) v, with rows as tokens: (N, heads, rows, length)."""
    q = F.normalize(q, dim=-1)
    k = F.normalize(k, dim=-1)
    # C / heads x C / heads: the attention matrix does not grow with the image.
    cosines = q @ k.transpose(-2, -1)
    return (cosines * temperature).softmax(-1) @ v
