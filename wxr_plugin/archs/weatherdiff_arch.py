"""Noise predictor of WeatherDiff (Özdenizci and Legenstein, TPAMI 2023): DDIM's U-Net on patches.

The degraded patch is a second input. State-dict names are those of the authors' code, so that their
weights load; code and weights are under MIT (TU Graz). `sampling/patch_ddim.py` restores images
with it.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.archs.conditional_unet_arch import SinusoidalTime
from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended


class TimeEmbedding(nn.Module):
    """Embedding (N, 4 ch) of times (N,)."""

    def __init__(self, ch: int):
        super().__init__()
        self.sinusoid = SinusoidalTime(ch)
        width = 4 * ch
        self.dense = nn.ModuleList([nn.Linear(ch, width), nn.Linear(width, width)])

    def forward(self, time: Tensor) -> Tensor:
        first, second = self.dense
        # Angles need float32, whatever the precision of the layers.
        sinusoid = self.sinusoid(time).to(first.weight.dtype)
        return second(F.silu(first(sinusoid)))


class ResnetBlock(nn.Module):
    """Residual block of two pre-activated convolutions with the time embedding between them."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        time_dim: int,
    ):
        super().__init__()
        self.norm1 = _norm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.temb_proj = nn.Linear(time_dim, outputs)
        self.norm2 = _norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x)))
        # (N, outputs) -> (N, outputs, 1, 1): the same shift for all pixels.
        hidden = hidden + self.temb_proj(F.silu(time))[..., None, None]
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        return self.nin_shortcut(x) + hidden


class Attention(nn.Module):
    """Residual self-attention of pixels with one head."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = _norm(dim)
        self.q = nn.Conv2d(dim, dim, 1)
        self.k = nn.Conv2d(dim, dim, 1)
        self.v = nn.Conv2d(dim, dim, 1)
        self.proj_out = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        q = self._tokens(self.q(normed))
        k = self._tokens(self.k(normed))
        v = self._tokens(self.v(normed))
        attended = F.scaled_dot_product_attention(q, k, v)
        attended = attended[:, 0].mT.reshape(x.shape)
        return x + self.proj_out(attended)

    def _tokens(self, x: Tensor) -> Tensor:
        # (N, C, H, W) -> (N, 1, H W, C), one head.
        return x.flatten(2).mT[:, None]


class Resampling(nn.Module):
    """3x3 convolution to half or twice the size."""

    def __init__(self, dim: int, halves: bool):
        super().__init__()
        self.halves = halves
        if halves:
            self.conv = nn.Conv2d(dim, dim, 3, stride=2)
        else:
            self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        # Halving pads only right and below, as published.
        x = F.pad(x, (0, 1, 0, 1)) if self.halves else F.interpolate(x, scale_factor=2)
        return self.conv(x)


class Level(nn.Module):
    """Level of residual blocks, each optionally followed by attention.

    All levels but the last of either way also get a `downsample` or `upsample`.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        width: int,
        time_dim: int,
        attends: bool,
    ):
        super().__init__()
        self.block = nn.ModuleList(ResnetBlock(size, width, time_dim) for size in inputs)
        self.attn = nn.ModuleList(Attention(width) for _ in inputs if attends)

    def step(self, number: int, x: Tensor, time: Tensor) -> Tensor:
        """Apply block `number` and its attention, if any, to `x` (N, C, H, W)."""
        x = self.block[number](x, time)
        return self.attn[number](x) if self.attn else x


class Middle(nn.Module):
    """Two residual blocks with attention between them, at the smallest size."""

    def __init__(self, dim: int, time_dim: int):
        super().__init__()
        self.block_1 = ResnetBlock(dim, dim, time_dim)
        self.block_2 = ResnetBlock(dim, dim, time_dim)
        self.attn_1 = Attention(dim)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        x = self.block_1(x, time)
        x = self.attn_1(x)
        return self.block_2(x, time)


@register_arch
class WeatherDiff(nn.Module):
    """Predictor of the noise in a DDPM state, given the degraded image.

    The defaults are the network for patches of 64 pixels. For 128 pixels: image_size 128, ch_mult
    [1, 1, 2, 3, 4].

    Args:
        ch: channels at full size, a multiple of 32 (the groups of the norms); the time embedding
            has 4 ch.
        ch_mult: channels of each level in units of ch; all levels but the last halve the size.
        num_res_blocks: residual blocks of a level on the way down; on the way up there is one more.
        image_size: side of the training patches in pixels; it only determines which levels attend.
        attn_resolutions: sides, in pixels of a level, of the patches of levels that attend. The
            middle always attends.
    """

    smoke = {
        "ch": 32,
        "ch_mult": [1, 2, 2],
        "num_res_blocks": 1,
    }
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(
        self,
        ch: int = 128,
        ch_mult: Sequence[int] = (1, 2, 3, 4),
        num_res_blocks: int = 2,
        image_size: int = 64,
        attn_resolutions: Sequence[int] = (16,),
    ):
        super().__init__()
        widths = [ch * factor for factor in ch_mult]
        self.multiple = 2 ** (len(widths) - 1)
        # Samplers recognise by `patch` that the network works on patches.
        self.patch = image_size
        sides = [image_size / 2**level for level in range(len(widths))]
        attends = [side in attn_resolutions for side in sides]
        self.temb = TimeEmbedding(ch)
        self.conv_in = nn.Conv2d(6, ch, 3, padding=1)
        skips = self._build_down([ch, *widths], num_res_blocks, attends, 4 * ch)
        self.mid = Middle(widths[-1], 4 * ch)
        self._build_up(
            [*widths, widths[-1]],
            skips,
            num_res_blocks + 1,
            attends,
            4 * ch,
        )
        self.norm_out = _norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def _build_down(
        self,
        widths: list[int],
        blocks: int,
        attends: list[bool],
        time_dim: int,
    ) -> list[int]:
        """Build the way down; return the widths of its skip connections, first to last."""
        self.down = nn.ModuleList()
        skips = [widths[0]]
        for number, (inner, width) in enumerate(pairwise(widths)):
            inputs = [inner] + [width] * (blocks - 1)
            level = Level(inputs, width, time_dim, attends[number])
            # Each block and each halving leaves a skip.
            skips += [width] * blocks
            if number < len(attends) - 1:
                level.downsample = Resampling(width, halves=True)
                skips.append(width)
            self.down.append(level)
        return skips

    def _build_up(
        self,
        widths: list[int],
        skips: list[int],
        blocks: int,
        attends: list[bool],
        time_dim: int,
    ) -> None:
        self.up = nn.ModuleList()
        for number in reversed(range(len(attends))):
            width = widths[number]
            # Each block takes the features so far and one skip.
            sizes = [widths[number + 1]] + [width] * (blocks - 1)
            inputs = [size + skips.pop() for size in sizes]
            level = Level(inputs, width, time_dim, attends[number])
            if number:
                level.upsample = Resampling(width, halves=False)
            self.up.insert(0, level)

    def forward(self, xt: Tensor, lq: Tensor, time: Tensor | float) -> Tensor:
        """Predict the noise in `xt`, in its shape.

        Args:
            xt: state (N, 3, H, W): a clean image, scaled to [-1, 1], on its way to standard normal
                noise.
            lq: degraded images (N, 3, H, W) in [0, 1]. Any H and W (the authors only take patches
                of `image_size`): extended by reflection to multiples of 2 ** (levels - 1), our
                choice.
            time: 0 to 999, integers or fractions: one for all images, or (N,).
        """
        x = torch.cat((2 * lq - 1, xt), dim=1)
        times = torch.as_tensor(time, device=xt.device).reshape(-1)
        noise = self.published(extended(x, self.multiple), times)
        return cropped(noise, xt)

    def published(self, x: Tensor, time: Tensor) -> Tensor:
        """Run the authors' network: degraded patch and state (N, 6, H, W) to noise (N, 3, H, W).

        The degraded patch is in [-1, 1]. H and W are multiples of 2 ** (levels - 1); `time` is (N,)
        or (1,).
        """
        time = self.temb(time)
        x, skips = self._encode(self.conv_in(x), time)
        x = self._decode(self.mid(x, time), skips, time)
        return self.conv_out(F.silu(self.norm_out(x)))

    def _encode(self, x: Tensor, time: Tensor) -> tuple[Tensor, list[Tensor]]:
        skips = [x]
        for level in self.down:
            for number in range(len(level.block)):
                skips.append(level.step(number, skips[-1], time))
            if level is not self.down[-1]:
                skips.append(level.downsample(skips[-1]))
        return skips[-1], skips

    def _decode(self, x: Tensor, skips: list[Tensor], time: Tensor) -> Tensor:
        for level in reversed(self.up):
            for number in range(len(level.block)):
                joined = torch.cat((x, skips.pop()), dim=1)
                x = level.step(number, joined, time)
            if level is not self.up[0]:
                x = level.upsample(x)
        return x


def _norm(dim: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, dim, eps=1e-6)
