"""Layers of the networks that a context steers: channel norm, linear and cross-attention.

Blocks and state-dict names are those of DA-CLIP's U-Net (Luo et al., ICLR 2024), whose
cross-attention follows latent diffusion (Rombach et al., CVPR 2022).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 32
"""Groups of the group norm before cross-attention."""


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (N, C, H, W), with a scale and no bias."""

    def __init__(self, dim: int):
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, dim, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        # float16 has no normal number below 6e-5, so half precision takes a larger epsilon.
        eps = 1e-5 if x.dtype in (torch.float32, torch.float64) else 1e-3
        variance, mean = torch.var_mean(x, dim=1, unbiased=False, keepdim=True)
        return (x - mean) * (variance + eps).rsqrt() * self.g


class PreNorm(nn.Module):
    """`fn` of the channel-normed input; further arguments are passed on to `fn`."""

    def __init__(self, dim: int, fn: nn.Module):
        super().__init__()
        self.fn = fn
        self.norm = ChannelNorm(dim)

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        return self.fn(self.norm(x), *others)


class Residual(nn.Module):
    """x + fn(x); further arguments are passed on to `fn`."""

    def __init__(self, fn: nn.Module):
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        return x + self.fn(x, *others)


class LinearAttention(nn.Module):
    """Attention of all pixels to all, in time linear in their number (Shen et al., WACV 2021)."""

    def __init__(
        self,
        dim: int,
        heads: int = 4,
        head_dim: int = 32,
    ):
        super().__init__()
        self.heads = heads
        self.scale = head_dim**-0.5
        self.to_qkv = nn.Conv2d(dim, 3 * heads * head_dim, 1, bias=False)
        self.to_out = nn.Sequential(
            nn.Conv2d(heads * head_dim, dim, 1),
            ChannelNorm(dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        qkv = self.to_qkv(x).flatten(2).unflatten(1, (3, self.heads, -1))
        q, k, v = qkv.unbind(1)  # each (N, heads, head_dim, HW)
        q = q.softmax(dim=2) * self.scale
        k = k.softmax(dim=3)
        v = v / (height * width)
        # v k^T is head_dim x head_dim, so no HW x HW matrix is ever formed.
        out = (v @ k.mT) @ q
        return self.to_out(out.flatten(1, 2).unflatten(2, (height, width)))


class Attention(nn.Module):
    """Multi-head attention of tokens (N, L, dim) to themselves or `context` (N, T, context_dim)."""

    def __init__(
        self,
        dim: int,
        context_dim: int,
        heads: int,
        head_dim: int,
    ):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, heads * head_dim, bias=False)
        self.to_k = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_v = nn.Linear(context_dim, heads * head_dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * head_dim, dim))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        source = x if context is None else context
        q = self._by_head(self.to_q(x))
        k = self._by_head(self.to_k(source))
        v = self._by_head(self.to_v(source))
        attended = F.scaled_dot_product_attention(q, k, v)
        return self.to_out(attended.transpose(1, 2).flatten(2))

    def _by_head(self, tokens: Tensor) -> Tensor:
        # (N, L, heads * head_dim) -> (N, heads, L, head_dim)
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)


class GatedLinear(nn.Module):
    """GEGLU: half of a linear layer's output times the GELU of the other (Shazeer, 2020)."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.proj = nn.Linear(dim, 2 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.proj(x).chunk(2, dim=-1)
        return x * F.gelu(gate)


class FeedForward(nn.Module):
    """Gated layer of four times the width, then a linear layer back to the width."""

    def __init__(self, dim: int):
        super().__init__()
        self.net = nn.Sequential(
            GatedLinear(dim, 4 * dim),
            nn.Identity(),
            nn.Linear(4 * dim, dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    """Pre-norm self-attention, attention to the context and feed-forward layer, all residual."""

    def __init__(
        self,
        dim: int,
        context_dim: int,
        heads: int,
        head_dim: int,
    ):
        super().__init__()
        self.attn1 = Attention(dim, dim, heads, head_dim)
        self.ff = FeedForward(dim)
        self.attn2 = Attention(dim, context_dim, heads, head_dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """Attention of pixels to one another and to context tokens; the identity before training.

    Args:
        dim: channels of the feature map, a multiple of 32 (its group norm has 32 groups).
        context_dim: length of a context's token.
        heads, head_dim: of both attentions.
    """

    def __init__(
        self,
        dim: int,
        context_dim: int,
        heads: int,
        head_dim: int,
    ):
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
        """Return `x` (N, dim, H, W) steered by the tokens `context` (N, T, context_dim)."""
        size = x.shape[-2:]
        # (N, C, H, W) -> tokens (N, H W, C)
        tokens = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        return x + self.proj_out(tokens.transpose(1, 2).unflatten(2, size))
