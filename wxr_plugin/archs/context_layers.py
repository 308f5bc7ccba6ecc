"""Layers shared by the networks that a context steers: channel norm, linear attention, and cross-attention to tokens.

Blocks and state-dict names are those of DA-CLIP's U-Net (Luo et al., ICLR 2024), whose
cross-attention follows latent diffusion (Rombach et al., CVPR 2022).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 32


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (N, C, H, W), with a scale and no bias."""

    def __init__(self, dim: int):
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, dim, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        eps = 1e-5 if x.dtype in (torch.float32, torch.float64) else 1e-3
        variance, mean = torch.var_mean(x, dim=1, unbiased=False, keepdim=True)
        return (x - mean) * (variance + eps).rsqrt() * self.g


class PreNorm(nn.Module):
    """`fn` of the channel-normed input; what is passed beside the input goes to `fn`."""

    def __init__(self, dim: int, fn: nn.Module):
        super().__init__()
        self.fn = fn
        self.norm = ChannelNorm(dim)

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        return self.fn(self.norm(x), *others)


class Residual(nn.Module):
    """The input and `fn` of it."""

    def __init__(self, fn: nn.Module):
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        return x + self.fn(x, *others)


class LinearAttention(nn.Module):
    """Attention of all pixels to all, in time linear in their number (Shen et al., WACV 2021)."""

    def __init__(self, dim: int, heads: int = 4, head_dim: int = 32):
        super().__init__()
        self.heads, self.scale = heads, head_dim**-0.5
        self.to_qkv = nn.Conv2d(dim, 3 * heads * head_dim, 1, bias=False)
        self.to_out = nn.Sequential(nn.Conv2d(heads * head_dim, dim, 1), ChannelNorm(dim))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        q, k, v = (
            self.to_qkv(x).flatten(2).unflatten(1, (3, self.heads, -1)).unbind(1)
        )  # (N, heads, head_dim, HW)
        q, k, v = q.softmax(dim=2) * self.scale, k.softmax(dim=3), v / (height * width)
        out = (v @ k.mT) @ q
        return self.to_out(out.flatten(1, 2).unflatten(2, (height, width)))


class Attention(nn.Module):
    """Multi-head attention of tokens (N, L, dim) to themselves or to `context` (N, T, context_dim)."""

    def __init__(self, dim: int, context_dim: int, heads: int, head_dim: int):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, heads * head_dim, bias=False)
        self.to_k = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_v = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * head_dim, dim))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        source = x if context is None else context
        layers = ((self.to_q, x), (self.to_k, source), (self.to_v, source))
        q, k, v = (
            layer(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer, tokens in layers
        )
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class GatedLinear(nn.Module):
    """GEGLU: half of a linear layer's output, times the GELU of the other half (Shazeer, arXiv 2002.05202)."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.proj = nn.Linear(dim, 2 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.proj(x).chunk(2, dim=-1)
        return x * F.gelu(gate)


class FeedForward(nn.Module):
    """Gated layer of four times the width, and back."""

    def __init__(self, dim: int):
        super().__init__()
        self.net = nn.Sequential(GatedLinear(dim, 4 * dim), nn.Identity(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    """Self-attention, attention to the context, and a feed-forward layer; each on normed tokens and added to them."""

    def __init__(self, dim: int, context_dim: int, heads: int, head_dim: int):
        super().__init__()
        self.attn1 = Attention(dim, dim, heads, head_dim)
        self.ff = FeedForward(dim)
        self.attn2 = Attention(dim, context_dim, heads, head_dim)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """Pixels that attend to one another and to the tokens of a context; the identity until it is trained.

    Args:
        dim: channels of the feature map, a multiple of 32 (its group norm has 32 groups).
        context_dim: length of a context's token.
        heads, head_dim: of both attentions.
    """

    def __init__(self, dim: int, context_dim: int, heads: int, head_dim: int):
        super().__init__()
        if dim % GROUPS:
            raise ValueError(
                f"cross-attention needs a multiple of {GROUPS} channels; this level has {dim}"
            )
        self.norm = nn.GroupNorm(GROUPS, dim, eps=1e-6)
        self.proj_in = nn.Conv2d(dim, heads * head_dim, 1)
        self.transformer_blocks = nn.ModuleList(
            [TransformerBlock(heads * head_dim, context_dim, heads, head_dim)]
        )
        self.proj_out = nn.Conv2d(heads * head_dim, dim, 1)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """A feature map like `x` (N, dim, H, W), steered by the tokens `context` (N, T, context_dim)."""
        size = x.shape[-2:]
        tokens = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        return x + self.proj_out(tokens.transpose(1, 2).unflatten(2, size))
