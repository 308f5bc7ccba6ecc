"""Histoformer (Sun et al., ECCV 2024): Restormer's layout with attention between sorted pixels.

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
    """Return a convolution without bias that keeps the size."""
    padding = dilation * (kernel // 2)
    return nn.Conv2d(
        inputs,
        outputs,
        kernel,
        padding=padding,
        groups=groups,
        dilation=dilation,
        bias=False,
    )


def normed(x: Tensor) -> Tensor:
    """Normalise each pixel over its channels, without parameters, by the authors' arithmetic.

    F.layer_norm is the same to 7e-7, but the sorts turn such a rounding into 13 of 255 levels of
    the result.
    """
    pixels = x.permute(0, 2, 3, 1)
    mean = pixels.mean(-1, keepdim=True)
    variance = pixels.var(-1, keepdim=True, unbiased=False)
    normalised = (pixels - mean) / torch.sqrt(variance + 1e-5)
    return normalised.permute(0, 3, 1, 2)


def sorted_half(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sort the first half of the channels of `x` (N, C, H, W) along H and then W.

    Returns the result and the indices of both sorts, each (N, C / 2, H, W).
    """
    half, rest = x.tensor_split([x.shape[1] // 2], 1)
    half, rows = half.sort(-2)
    half, columns = half.sort(-1)
    return torch.cat((half, rest), 1), rows, columns


def unsorted_half(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Invert `sorted_half`, given the indices of its sorts."""
    half, rest = x.tensor_split([x.shape[1] // 2], 1)
    half = put_back(put_back(half, columns, -1), rows, -2)
    return torch.cat((half, rest), 1)


def put_back(x: Tensor, index: Tensor, dim: int) -> Tensor:
    """Undo a sort of `x` along `dim`, given the `index` that `sort` returned."""
    return torch.zeros_like(x).scatter(dim, index, x)


class HistogramAttention(nn.Module):
    """Attention between bins of pixels sorted by value, and between pixels of equal rank."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = conv(channels, 5 * channels)
        self.qkv_dwconv = conv(
            5 * channels,
            5 * channels,
            3,
            groups=5 * channels,
        )
        self.project_out = conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x, rows, columns = sorted_half(x)
        parts = self.qkv_dwconv(self.qkv(x)).flatten(2)
        q1, k1, q2, k2, values = parts.chunk(5, 1)
        # All pixels of a channel in the order of their value; queries and keys follow.
        values, order = values.sort(-1)
        q1, k1, q2, k2 = (part.gather(-1, order) for part in (q1, k1, q2, k2))
        bins = self._attended(q1, k1, values, between_bins=True)
        ranks = self._attended(q2, k2, values, between_bins=False)
        product = put_back(bins, order, -1) * put_back(ranks, order, -1)
        projected = self.project_out(product.view_as(x))
        return unsorted_half(projected, rows, columns)

    def _attended(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        between_bins: bool,
    ) -> Tensor:
        length = v.shape[-1]
        q, k, v = (self._binned(part, between_bins) for part in (q, k, v))
        q = F.normalize(q, dim=-1)
        k = F.normalize(k, dim=-1)
        scores = q @ k.transpose(-2, -1) * self.temperature
        # The authors' softmax adds 1 to the denominator, so weights sum to less than 1.
        weights = scores.exp()
        weights = weights / (1 + weights.sum(-1, keepdim=True))
        return self._unbinned(weights @ v, between_bins)[..., :length]

    def _binned(self, x: Tensor, between_bins: bool) -> Tensor:
        """Split (N, C, L) into (N, heads, C / heads * bins, n), with as many bins as heads.

        A bin has n neighbours, or else every n-th pixel.
        """
        # Padded at the end to a multiple of the number of bins.
        x = F.pad(x, (0, -x.shape[-1] % self.heads))
        x = x.unflatten(1, (self.heads, -1))
        if between_bins:
            x = x.unflatten(-1, (self.heads, -1))
        else:
            x = x.unflatten(-1, (-1, self.heads))
            x = x.transpose(-2, -1)
        return x.flatten(2, 3)

    def _unbinned(self, x: Tensor, between_bins: bool) -> Tensor:
        x = x.unflatten(2, (-1, self.heads))
        if not between_bins:
            x = x.transpose(-2, -1)
        return x.flatten(3).flatten(1, 2)


class FeedForward(nn.Module):
    """Depthwise 5x5 and dilated 3x3 convolutions at twice the size; the second gates the first."""

    def __init__(self, channels: int, factor: float):
        super().__init__()
        hidden = int(factor * channels)
        if hidden % 4:
            raise ValueError(
                f"Histoformer: {channels} channels x ffn_expansion_factor {factor} are {hidden}, "
                f"not a multiple of 4; choose another dim or ffn_expansion_factor"
            )
        # The pixel shuffle leaves a quarter of the channels at twice the size.
        quarter = hidden // 4
        self.project_in = conv(channels, 2 * hidden)
        self.dwconv_5 = conv(quarter, quarter, 5, groups=quarter)
        self.dwconv_dilated2_1 = conv(quarter, quarter, 3, groups=quarter, dilation=2)
        self.project_out = conv(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        # (N, 2 hidden, H, W) -> (N, hidden / 2, 2 H, 2 W)
        shuffled = F.pixel_shuffle(self.project_in(x), 2)
        value, gate = shuffled.chunk(2, 1)
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
    """3x3 convolution and pixel (un)shuffle: half the channels if `finer`, else twice as many."""

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
    """Layers under the authors' name `proj`."""

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
        num_blocks: blocks of each level, full size first.
        num_refinement_blocks: blocks after the decoder, at full size.
        heads: attention heads of each level; also its number of bins.
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
            down = Resize(widths[level - 1], finer=False)
            self.add_module(f"down{level}_{level + 1}", down)
            halved = Projection(nn.AvgPool2d(2), conv(3, 3), conv(3, 3, 3, groups=3))
            self.add_module(f"skip_patch_embed{level}", halved)
            self.add_module(f"reduce_chan_level_{level}", conv(width + 3, width))
            self.add_module(name, blocks(width, level, num_blocks[level]))
            self.add_module(f"up{level + 1}_{level}", Resize(width, finer=True))
        for level in (3, 2):
            self.add_module(f"reduce_chan_level{level}", conv(widths[level], widths[level - 1]))
            decoder = blocks(widths[level - 1], level - 1, num_blocks[level - 1])
            self.add_module(f"decoder_level{level}", decoder)
        self.decoder_level1 = blocks(2 * dim, 0, num_blocks[0])
        self.refinement = blocks(2 * dim, 0, num_refinement_blocks)
        self.output = conv(2 * dim, 3, 3)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped. Sides that are not
        a multiple of 8 are extended right and below by reflection (repetition below 8) and cropped,
        as the authors' test script does. Attention sees the whole image.
        """
        restored = self._restore(extended(lq, STRIDE))
        return cropped(restored, lq)

    def _restore(self, image: Tensor) -> Tensor:
        *skips, x = self._encode(image)
        for level in (3, 2):
            raised = getattr(self, f"up{level + 1}_{level}")(x)
            x = torch.cat((raised, skips[level - 1]), 1)
            x = getattr(self, f"reduce_chan_level{level}")(x)
            x = getattr(self, f"decoder_level{level}")(x)
        # The finest level keeps the joined 2 dim channels: it has no reduction.
        x = torch.cat((self.up2_1(x), skips[0]), 1)
        x = self.decoder_level1(x)
        return self.output(self.refinement(x)) + image

    def _encode(self, image: Tensor) -> list[Tensor]:
        features = [self.encoder_level1(self.patch_embed(image))]
        for level, blocks in enumerate((self.encoder_level2, self.encoder_level3, self.latent), 1):
            image = getattr(self, f"skip_patch_embed{level}")(image)
            down = getattr(self, f"down{level}_{level + 1}")(features[-1])
            # Each level sees a smaller copy of the image in addition to the features.
            both = torch.cat((down, image), 1)
            joined = getattr(self, f"reduce_chan_level_{level}")(both)
            features.append(blocks(joined))
        return features
