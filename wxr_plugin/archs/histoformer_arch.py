"""Histoformer (Sun et al., ECCV 2024): Restormer's shape with attention between pixels that are sorted by their value.

The authors state no licence; their code derives from Restormer (academic use). Sorting makes the
network discontinuous: where two values nearly tie, rounding decides, so results in float32 differ
between devices and from those in float64. On one CPU they equal the authors' bit for bit, since the
arithmetic is theirs.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

STRIDE = 8


def conv(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    groups: int = 1,
    dilation: int = 1,
) -> nn.Conv2d:
    """A convolution that keeps the size, without bias."""
    padding = dilation * (kernel // 2)
    return nn.Conv2d(
        inputs, outputs, kernel, padding=padding, groups=groups, dilation=dilation, bias=False
    )


def normed(x: Tensor) -> Tensor:
    """Normalise each pixel over its channels, without parameters, by the authors' arithmetic.

    F.layer_norm is the same to 7e-7, but the sorts turn such a rounding into 13 of 255 levels of
    the result.
    """
    pixels = x.permute(0, 2, 3, 1)
    mean = pixels.mean(-1, keepdim=True)
    variance = pixels.var(-1, keepdim=True, unbiased=False)
    return ((pixels - mean) / torch.sqrt(variance + 1e-5)).permute(0, 3, 1, 2)


def sorted_half(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`x` (N, C, H, W) with half of its channels sorted along H and then W; and from where the values come."""
    half, rest = x.tensor_split([x.shape[1] // 2], 1)
    half, rows = half.sort(-2)
    half, columns = half.sort(-1)
    return torch.cat((half, rest), 1), rows, columns


def unsorted_half(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """What is at the sorted places goes back to where `sorted_half` took their values from."""
    half, rest = x.tensor_split([x.shape[1] // 2], 1)
    half = put_back(put_back(half, columns, -1), rows, -2)
    return torch.cat((half, rest), 1)


def put_back(x: Tensor, index: Tensor, dim: int) -> Tensor:
    """`x` unsorted along `dim`, where `index`, of the same shape, says from where each value came."""
    return torch.zeros_like(x).scatter(dim, index, x)


class HistogramAttention(nn.Module):
    """Attention between bins of pixels sorted by value, and between pixels of the same rank within the bins."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = conv(channels, 5 * channels)
        self.qkv_dwconv = conv(5 * channels, 5 * channels, 3, groups=5 * channels)
        self.project_out = conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x, rows, columns = sorted_half(x)
        q1, k1, q2, k2, values = self.qkv_dwconv(self.qkv(x)).flatten(2).chunk(5, 1)
        values, order = values.sort(-1)
        q1, k1, q2, k2 = (part.gather(-1, order) for part in (q1, k1, q2, k2))
        bins = self._attended(q1, k1, values, between_bins=True)
        ranks = self._attended(q2, k2, values, between_bins=False)
        product = put_back(bins, order, -1) * put_back(ranks, order, -1)
        return unsorted_half(self.project_out(product.view_as(x)), rows, columns)

    def _attended(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        between_bins: bool,
    ) -> Tensor:
        length = v.shape[-1]
        q, k, v = (self._binned(part, between_bins) for part in (q, k, v))
        scores = (
            F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * self.temperature
        )
        weights = scores.exp()
        attended = (weights / (1 + weights.sum(-1, keepdim=True))) @ v
        return self._unbinned(attended, between_bins)[..., :length]

    def _binned(self, x: Tensor, between_bins: bool) -> Tensor:
        """(N, C, L) -> (N, heads, C / heads * bins, n), as many bins as heads: neighbours, or every n-th pixel."""
        x = F.pad(x, (0, -x.shape[-1] % self.heads)).unflatten(1, (self.heads, -1))
        parts = (self.heads, -1) if between_bins else (-1, self.heads)
        x = x.unflatten(-1, parts)
        return (x if between_bins else x.transpose(-2, -1)).flatten(2, 3)

    def _unbinned(self, x: Tensor, between_bins: bool) -> Tensor:
        x = x.unflatten(2, (-1, self.heads))
        return (x if between_bins else x.transpose(-2, -1)).flatten(3).flatten(1, 2)


class FeedForward(nn.Module):
    """Depthwise convolutions at twice the size, one of which gates the other."""

    def __init__(self, channels: int, factor: float):
        super().__init__()
        hidden = int(factor * channels)
        if hidden % 4:
            raise ValueError(
                f"Histoformer: {channels} channels x ffn_expansion_factor {factor} are {hidden}, "
                f"no multiple of 4; "
                "choose another dim or ffn_expansion_factor"
            )
        self.project_in = conv(channels, 2 * hidden)
        self.dwconv_5 = conv(hidden // 4, hidden // 4, 5, groups=hidden // 4)
        self.dwconv_dilated2_1 = conv(hidden // 4, hidden // 4, 3, groups=hidden // 4, dilation=2)
        self.project_out = conv(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = F.pixel_shuffle(self.project_in(x), 2).chunk(2, 1)
        gated = F.mish(self.dwconv_dilated2_1(gate)) * self.dwconv_5(value)
        return self.project_out(F.pixel_unshuffle(gated, 2))


class Block(nn.Module):
    """Attention and feed-forward, each after a norm and added to its input."""

    def __init__(
        self,
        channels: int,
        heads: int,
        factor: float,
    ):
        super().__init__()
        self.attn_g = HistogramAttention(channels, heads)
        self.ffn = FeedForward(channels, factor)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn_g(normed(x))
        return x + self.ffn(normed(x))


class Resize(nn.Module):
    """A 3x3 convolution and pixels to channels (half the size, twice the channels) or back."""

    def __init__(self, channels: int, finer: bool):
        super().__init__()
        outputs, shuffle = (
            (2 * channels, nn.PixelShuffle(2)) if finer else (channels // 2, nn.PixelUnshuffle(2))
        )
        self.body = nn.Sequential(
            conv(channels, outputs, 3),
            shuffle,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Projection(nn.Module):
    """Layers under the authors' name `proj`: of the image, or of a copy of it at half the size."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.proj = layers[0] if len(layers) == 1 else nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


@register_arch
class Histoformer(nn.Module):
    """Histoformer with the authors' state-dict names, so that their weights load.

    Args:
        dim: channels at full size; doubles with each of the four levels.
        num_blocks, num_refinement_blocks, heads: as published.
        ffn_expansion_factor: width of the feed-forwards; times `dim` and rounded down it must be a
            multiple of 4.
    """

    smoke = {
        "dim": 12,
        "num_blocks": [1, 1, 1, 1],
        "num_refinement_blocks": 1,
        "heads": [1, 2, 2, 4],
    }
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(
        self,
        dim: int = 36,
        num_blocks: Sequence[int] = (4, 4, 6, 8),
        num_refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        ffn_expansion_factor: float = 2.667,
    ):
        super().__init__()

        def blocks(channels: int, level: int, count: int) -> nn.Sequential:
            return nn.Sequential(
                *(Block(channels, heads[level], ffn_expansion_factor) for _ in range(count))
            )

        widths = [dim << level for level in range(4)]
        self.patch_embed = Projection(conv(3, dim, 3))
        self.encoder_level1 = blocks(dim, 0, num_blocks[0])
        for level in (1, 2, 3):
            width = widths[level]
            name = "latent" if level == 3 else f"encoder_level{level + 1}"
            self.add_module(f"down{level}_{level + 1}", Resize(widths[level - 1], finer=False))
            halved = Projection(nn.AvgPool2d(2), conv(3, 3), conv(3, 3, 3, groups=3))
            self.add_module(f"skip_patch_embed{level}", halved)
            self.add_module(f"reduce_chan_level_{level}", conv(width + 3, width))
            self.add_module(name, blocks(width, level, num_blocks[level]))
            self.add_module(f"up{level + 1}_{level}", Resize(width, finer=True))
        for level in (3, 2):
            self.add_module(f"reduce_chan_level{level}", conv(widths[level], widths[level - 1]))
            self.add_module(
                f"decoder_level{level}", blocks(widths[level - 1], level - 1, num_blocks[level - 1])
            )
        self.decoder_level1 = blocks(2 * dim, 0, num_blocks[0])
        self.refinement = blocks(2 * dim, 0, num_refinement_blocks)
        self.output = conv(2 * dim, 3, 3)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped.
        Sides that are no multiple of 8 are extended right and below by reflection (repetition below
        8) and cropped, as the authors' test script does. Attention sees the whole image.
        """
        return cropped(self._restore(extended(lq, STRIDE)), lq)

    def _restore(self, image: Tensor) -> Tensor:
        *skips, x = self._encode(image)
        for level in (3, 2):
            x = torch.cat((getattr(self, f"up{level + 1}_{level}")(x), skips[level - 1]), 1)
            x = getattr(self, f"decoder_level{level}")(
                getattr(self, f"reduce_chan_level{level}")(x)
            )
        x = self.decoder_level1(torch.cat((self.up2_1(x), skips[0]), 1))
        return self.output(self.refinement(x)) + image

    def _encode(self, image: Tensor) -> list[Tensor]:
        features = [self.encoder_level1(self.patch_embed(image))]
        for level, blocks in enumerate((self.encoder_level2, self.encoder_level3, self.latent), 1):
            image = getattr(self, f"skip_patch_embed{level}")(image)
            down = getattr(self, f"down{level}_{level + 1}")(features[-1])
            joined = getattr(self, f"reduce_chan_level_{level}")(torch.cat((down, image), 1))
            features.append(blocks(joined))
        return features
