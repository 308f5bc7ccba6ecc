"""The noise predictor of WeatherDiff (Özdenizci and Legenstein, TPAMI 2023): DDIM's U-Net beside a degraded patch.

State-dict names are those of the authors' code, so that their weights load; code and weights are
under MIT (TU Graz). `sampling/patch_ddim.py` restores images with it.
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
    """Times (N,) as (N, 4 ch)."""

    def __init__(self, ch: int):
        super().__init__()
        self.sinusoid = SinusoidalTime(ch)
        self.dense = nn.ModuleList((nn.Linear(ch, 4 * ch), nn.Linear(4 * ch, 4 * ch)))

    def forward(self, time: Tensor) -> Tensor:
        first, second = self.dense
        return second(F.silu(first(self.sinusoid(time).to(first.weight.dtype))))


class ResnetBlock(nn.Module):
    """Two convolutions, each after a norm and SiLU; between them the time embedding is added, in the end the input."""

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
        inner = self.conv1(F.silu(self.norm1(x))) + self.temb_proj(F.silu(time))[..., None, None]
        return self.nin_shortcut(x) + self.conv2(F.silu(self.norm2(inner)))


class Attention(nn.Module):
    """Each pixel attends to all with one head; the input is added."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = _norm(dim)
        self.q = nn.Conv2d(dim, dim, 1)
        self.k = nn.Conv2d(dim, dim, 1)
        self.v = nn.Conv2d(dim, dim, 1)
        self.proj_out = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        q, k, v = (layer(normed).flatten(2).mT[:, None] for layer in (self.q, self.k, self.v))
        found = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj_out(found[:, 0].mT.reshape(x.shape))


class Resampling(nn.Module):
    """Half or twice the size, and a 3x3 convolution; halving pads right and below only, as published."""

    def __init__(self, dim: int, halves: bool):
        super().__init__()
        self.halves = halves
        self.conv = (
            nn.Conv2d(dim, dim, 3, stride=2) if halves else nn.Conv2d(dim, dim, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(
            F.pad(x, (0, 1, 0, 1)) if self.halves else F.interpolate(x, scale_factor=2)
        )


class Level(nn.Module):
    """Residual blocks, each with an attention after it or without; the last level of either way does not resample."""

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
        """What block `number` and its attention make of x."""
        x = self.block[number](x, time)
        return self.attn[number](x) if self.attn else x


class Middle(nn.Module):
    """Two residual blocks, and an attention between them, at the smallest size."""

    def __init__(self, dim: int, time_dim: int):
        super().__init__()
        self.block_1 = ResnetBlock(dim, dim, time_dim)
        self.block_2 = ResnetBlock(dim, dim, time_dim)
        self.attn_1 = Attention(dim)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x, time)), time)


@register_arch
class WeatherDiff(nn.Module):
    """The noise in a state of DDPM's diffusion from a clean image to noise, given the degraded image.

    The network for patches of 64 pixels: the defaults. For 128: image_size 128, ch_mult [1, 1, 2,
    3, 4].

    Args:
        ch: channels at full size, a multiple of 32 (the groups of the norms); the time embedding
            has 4 ch.
        ch_mult: channels of each level in units of ch; all levels but the last halve the size.
        num_res_blocks: residual blocks of a level on the way down; on the way up there is one more.
        image_size: side of the patches of training, in pixels; it only says which levels attend.
        attn_resolutions: a level attends if patches of `image_size` are so many pixels wide there.
            Between the way down and the way up there is always an attention.
    """

    smoke = {"ch": 32, "ch_mult": [1, 2, 2], "num_res_blocks": 1}
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
        self.patch = image_size  # the latter tells that it is sampled in patches
        attends = [image_size / 2**level in attn_resolutions for level in range(len(widths))]
        self.temb = TimeEmbedding(ch)
        self.conv_in = nn.Conv2d(6, ch, 3, padding=1)
        skips = self._build_down([ch, *widths], num_res_blocks, attends, 4 * ch)
        self.mid = Middle(widths[-1], 4 * ch)
        self._build_up([*widths, widths[-1]], skips, num_res_blocks + 1, attends, 4 * ch)
        self.norm_out = _norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def _build_down(
        self,
        widths: list[int],
        blocks: int,
        attends: list[bool],
        time_dim: int,
    ) -> list[int]:
        """The way down; the widths of its skip connections, first to last."""
        self.down = nn.ModuleList()
        skips = [widths[0]]
        for number, (inner, width) in enumerate(pairwise(widths)):
            level = Level([inner] + [width] * (blocks - 1), width, time_dim, attends[number])
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
            inputs = [size + skips.pop() for size in [widths[number + 1]] + [width] * (blocks - 1)]
            level = Level(inputs, width, time_dim, attends[number])
            if number:
                level.upsample = Resampling(width, halves=False)
            self.up.insert(0, level)

    def forward(self, xt: Tensor, lq: Tensor, time: Tensor | float) -> Tensor:
        """The noise in `xt`, like it.

        Args:
            xt: state (N, 3, H, W): a clean image, scaled to [-1, 1], on its way to standard normal
                noise.
            lq: degraded images (N, 3, H, W) in [0, 1]. Any H and W (the authors take patches of
                `image_size` alone): extended by reflection to what the levels can halve, our
                choice.
            time: 0 to 999, one for all images or (N,); whole or broken numbers.
        """
        x = torch.cat((2 * lq - 1, xt), dim=1)
        noise = self.published(
            extended(x, self.multiple), torch.as_tensor(time, device=xt.device).reshape(-1)
        )
        return cropped(noise, xt)

    def published(self, x: Tensor, time: Tensor) -> Tensor:
        """The authors' call: noise (N, 3, H, W) from degraded patch and state, both in [-1, 1], (N, 6, H, W).

        H and W are multiples of 2 ** (levels - 1); `time` is (N,) or (1,).
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
                x = level.step(number, torch.cat((x, skips.pop()), dim=1), time)
            x = level.upsample(x) if level is not self.up[0] else x
        return x


def _norm(dim: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, dim, eps=1e-6)
