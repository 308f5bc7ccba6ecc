"""Noise predictors of IR-SDE (Luo et al., ICML 2023) and DA-CLIP (ICLR 2024; CVPRW 2024).

One U-Net: two residual blocks and an attention at each level, the time embedding in every block.
DA-CLIP's networks also take a `Context`: the degradation is added to the time embedding, the
content is a token that the deepest level attends to. State-dict names are those of the authors'
code, so that their weights load.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.archs.context import (
    STEERING,
    Context,
    check_context,
    checked_inputs,
    degradation_prompt,
)
from wxr_plugin.archs.context_layers import LinearAttention, PreNorm, Residual, SpatialTransformer
from wxr_plugin.errors import WxrError
from wxr_plugin.registry import register_arch

HEAD = 32
"""Channels of a head of the content attention."""


class ImageSizeError(WxrError):
    """An image that is too small for the network."""


class SinusoidalTime(nn.Module):
    """Embedding (N, dim) of times (N,): sines and cosines of frequencies 1 to 1/10000.

    As in Vaswani et al. (NeurIPS 2017), with steps of 1 / (dim / 2 - 1) in the exponent.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self, time: Tensor) -> Tensor:
        half = self.dim // 2
        steps = torch.arange(half, device=time.device, dtype=torch.float32) / (half - 1)
        frequencies = torch.exp(-math.log(10000) * steps)
        angles = time.float()[:, None] * frequencies
        return torch.cat((angles.sin(), angles.cos()), dim=1)


class Projection(nn.Module):
    """3x3 convolution and SiLU, between them an optional scale and shift (N, outputs, 1, 1)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.proj = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)

    def forward(
        self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None
    ) -> Tensor:
        x = self.proj(x)
        if scale is not None:
            x = x * (scale + 1) + shift
        return F.silu(x)


class ResBlock(nn.Module):
    """Residual block of two projections, the first modulated by the time (N, time_dim)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        time_dim: int,
    ):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.SiLU(),
            nn.Linear(time_dim, 2 * outputs),
        )
        self.block1 = Projection(inputs, outputs)
        self.block2 = Projection(outputs, outputs)
        self.res_conv = (
            nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()
        )

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.mlp(time)[..., None, None].chunk(2, dim=1)
        hidden = self.block1(x, scale, shift)
        return self.block2(hidden) + self.res_conv(x)


class SelfAttention(Residual):
    """Linear attention with the signature of `ContentAttention`; it ignores the content."""

    def __init__(self, dim: int):
        super().__init__(PreNorm(dim, LinearAttention(dim)))

    def forward(self, x: Tensor, content: Tensor | None) -> Tensor:
        return super().forward(x)


class ContentAttention(Residual):
    """Full self-attention, and cross-attention to the content tokens (N, T, context_dim)."""

    def __init__(self, dim: int, context_dim: int):
        super().__init__(PreNorm(dim, SpatialTransformer(dim, context_dim, dim // HEAD, HEAD)))


@register_arch
class ConditionalUNet(nn.Module):
    """Predictor of the noise in a state between a clean and a degraded image.

    It has three published forms:

    - IR-SDE: the defaults; its deshadowing network: nf 32, ch_mult [2, 4, 8, 16, 32]
    - DA-CLIP: ch_mult [1, 2, 4, 8], context [content, degradation], context_dim 512
    - DA-CLIP in the wild: ch_mult [1, 2, 4, 8], context [content], context_dim 768, scale 0.5

    Args:
        nf: channels at full size; the time embedding has 4 nf.
        ch_mult: channels that each level hands to the next one, in units of nf; all levels but the
            last halve the size.
        context: which embeddings the network takes: content (cross-attention at the last level,
            whose widths must then be multiples of 32), degradation (a prompt that is added to the
            time embedding), both or none.
        context_dim: length of these embeddings, as the guide gives them.
        scale: 1, or 0.5 to work at half the size between the first convolution and the last block.

    Raises ValueError for arguments that do not fit.
    """

    smoke = {"nf": 8, "ch_mult": [1, 2]}
    """Constructor arguments of a small instance for the tests of all networks."""
    smoke_context = {"nf": 32, "ch_mult": [1, 1]}
    """Entries that replace those of `smoke` when the network takes a context."""
    context_names = STEERING
    """Embeddings that it may take."""

    def __init__(
        self,
        nf: int = 64,
        ch_mult: Sequence[int] = (2, 4, 8, 16),
        context: Sequence[str] = (),
        context_dim: int = 512,
        scale: float = 1.0,
    ):
        super().__init__()
        if nf < 4 or nf % 2 or not ch_mult:
            raise ValueError(
                f"ConditionalUNet: nf is an even number from 4 on, ch_mult not empty: {nf}, "
                f"{ch_mult}"
            )
        if scale not in (1, 0.5):
            raise ValueError(f"ConditionalUNet: scale is 1 or 0.5, not {scale}")
        self.context_inputs = checked_inputs(context, STEERING)
        self.context_dim = context_dim
        self.multiple = 2 ** len(ch_mult)
        # Reflection adds fewer pixels than the side has: multiple - side < side.
        self.least = self.multiple // 2 + 1
        self.halved = scale == 0.5
        self._build_ends(nf)
        self._build_embeddings(nf)
        widths = [nf, *(nf * factor for factor in ch_mult)]
        self._build_levels(widths, 4 * nf)

    def _build_ends(self, nf: int) -> None:
        # Six channels: the difference of state and degraded image, and the degraded image.
        self.init_conv = nn.Conv2d(6, nf, 7, padding=3, bias=False)
        if self.halved:
            self.downsample = _halving(nf, nf)
            self.upsample = _doubling(nf, nf)
        self.final_res_block = ResBlock(2 * nf, nf, 4 * nf)
        self.final_conv = nn.Conv2d(nf, 3, 3, padding=1)

    def _build_embeddings(self, nf: int) -> None:
        width = 4 * nf
        self.time_mlp = nn.Sequential(
            SinusoidalTime(nf),
            nn.Linear(nf, width),
            nn.GELU(),
            nn.Linear(width, width),
        )
        if "degradation" in self.context_inputs:
            self.prompt = nn.Parameter(torch.rand(1, width))
            self.text_mlp = nn.Sequential(
                nn.Linear(self.context_dim, width),
                nn.SiLU(),
                nn.Linear(width, width),
            )
            self.prompt_mlp = nn.Linear(width, width)

    def _build_levels(self, widths: list[int], time_dim: int) -> None:
        self.downs = nn.ModuleList()
        self.ups = nn.ModuleList()
        last = len(widths) - 2
        for level, (inner, outer) in enumerate(pairwise(widths)):
            deepest = level == last
            blocks = [ResBlock(inner, inner, time_dim) for _ in range(2)]
            down = _plain(inner, outer) if deepest else _halving(inner, outer)
            attention = self._attention(inner, deepest)
            self.downs.append(nn.ModuleList([*blocks, attention, down]))
            # Each of the two blocks on the way up takes one of the two skips of its level.
            blocks = [ResBlock(outer + inner, outer, time_dim) for _ in range(2)]
            up = _plain(outer, inner) if level == 0 else _doubling(outer, inner)
            attention = self._attention(outer, deepest)
            self.ups.insert(0, nn.ModuleList([*blocks, attention, up]))
        self.mid_block1 = ResBlock(widths[-1], widths[-1], time_dim)
        self.mid_block2 = ResBlock(widths[-1], widths[-1], time_dim)
        self.mid_attn = self._attention(widths[-1], True)

    def _attention(self, dim: int, deepest: bool) -> nn.Module:
        takes_content = deepest and "content" in self.context_inputs
        return ContentAttention(dim, self.context_dim) if takes_content else SelfAttention(dim)

    def forward(
        self,
        xt: Tensor,
        lq: Tensor,
        time: Tensor | float,
        context: Context | None = None,
    ) -> Tensor:
        """Predict the noise in `xt`, in its shape.

        Args:
            xt: state (N, 3, H, W): a clean image on its way to `lq`, with noise.
            lq: degraded images (N, 3, H, W) in [0, 1]. H and W are above half of 2 ** len(ch_mult);
                the network extends them to a multiple of it by reflection right and below, as
                published.
            time: steps of the schedule, integers or fractions: one for all images, or (N,).
            context: embeddings of the N degraded images, at least those in `context_inputs`.

        Raises:
            ContextError: `context` lacks an embedding that the network takes, or has another
                length.
            ImageSizeError: the images are too small to be reflected.
        """
        check_context(context, self.context_inputs, self.context_dim)
        time = self._time(torch.as_tensor(time, device=xt.device), context)
        content = None
        if "content" in self.context_inputs:
            # One token for each photo: (N, 1, context_dim).
            content = context.content[:, None]
        both = torch.cat((xt - lq, lq), dim=1)
        return self._noise(both, time, content)

    def _time(self, time: Tensor, context: Context | None) -> Tensor:
        # Angles need float32, whatever the precision of the layers.
        sinusoid = self.time_mlp[0](time.reshape(-1))
        embedding = self.time_mlp[1:](sinusoid.to(self.time_mlp[1].weight.dtype))
        if "degradation" in self.context_inputs:
            prompt = degradation_prompt(
                context.degradation, self.text_mlp, self.prompt, self.prompt_mlp
            )
            embedding = embedding + prompt
        return embedding

    def _noise(self, x: Tensor, time: Tensor, content: Tensor | None) -> Tensor:
        height, width = x.shape[-2:]
        first = self.init_conv(self._pad(x))
        x = self.downsample(first) if self.halved else first
        x, skips = self._encode(x, time, content)
        x = self.mid_block1(x, time)
        x = self.mid_attn(x, content)
        x = self.mid_block2(x, time)
        x = self._decode(x, skips, time, content)
        if self.halved:
            x = self.upsample(x)
        x = self.final_res_block(torch.cat((x, first), dim=1), time)
        return self.final_conv(x)[..., :height, :width]

    def _encode(
        self, x: Tensor, time: Tensor, content: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        skips = []
        for block1, block2, attention, down in self.downs:
            x = block1(x, time)
            # Two skips per level: after the first block and after the attention.
            skips.append(x)
            x = attention(block2(x, time), content)
            skips.append(x)
            x = down(x)
        return x, skips

    def _decode(
        self,
        x: Tensor,
        skips: list[Tensor],
        time: Tensor,
        content: Tensor | None,
    ) -> Tensor:
        for block1, block2, attention, up in self.ups:
            x = block1(torch.cat((x, skips.pop()), dim=1), time)
            x = block2(torch.cat((x, skips.pop()), dim=1), time)
            x = up(attention(x, content))
        return x

    def _pad(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        below = -height % self.multiple
        right = -width % self.multiple
        if below >= height or right >= width:
            raise ImageSizeError(
                f"the network reflects images to a multiple of {self.multiple}, which takes sides "
                f"of at least {self.multiple // 2 + 1} pixels; this image has {width}x{height}"
            )
        return F.pad(x, (0, right, 0, below), mode="reflect") if below or right else x


def _halving(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)


def _doubling(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(inputs, outputs, 3, padding=1),
    )


def _plain(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
