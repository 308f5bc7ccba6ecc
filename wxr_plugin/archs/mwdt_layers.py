"""Layers of MWDT: multi-scale and dilated convolutions, deformable alignment, nested attention."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

KERNELS = (1, 3, 5, 7)
"""Kernel sizes of the four slots that channels are split into."""


def conv3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the size, or divides it by `stride`."""
    return nn.Conv2d(inputs, outputs, 3, stride, 1)


class ConvBlock(nn.Module):
    """Convolution, instance norm and ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
    ):
        super().__init__()
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        self.conv_block_my = nn.Sequential(
            conv,
            nn.InstanceNorm2d(outputs),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_block_my(x)


class MultiScale(nn.Module):
    """Parallel convolutions with three kernel sizes, merged by a 3x3 block."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        for number, kernel in enumerate((1, 3, 5), 1):
            self.add_module(f"psi{number}", nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))
        self.conv_cat = ConvBlock(3 * outputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        maps = (self.psi1(x), self.psi2(x), self.psi3(x))
        return self.conv_cat(torch.cat(maps, 1))


class MultiReceptive(nn.Module):
    """Parallel 3x3 convolutions with three dilations, merged by a 1x1 block."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        for dilation in (1, 5, 7):
            conv = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)
            self.add_module(f"conv{dilation}", conv)
        self.conv_cat = ConvBlock(3 * outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        maps = (self.conv1(x), self.conv5(x), self.conv7(x))
        return self.conv_cat(torch.cat(maps, 1))


class FeatureBlock(nn.Module):
    """Parallel `MultiScale` and `MultiReceptive`, merged at 1 / `stride` of the size."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
    ):
        super().__init__()
        self.multi_scale = MultiScale(inputs, outputs)
        self.multi_receptive = MultiReceptive(inputs, outputs)
        self.conv_cat = ConvBlock(2 * outputs, outputs, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        maps = (self.multi_scale(x), self.multi_receptive(x))
        return self.conv_cat(torch.cat(maps, 1))


class Deformable(nn.Module):
    """Deformable convolution; another convolution, of `seen` channels, predicts its offsets.

    The authors also compute a weight for each tap but do not use it: their files hold the layer's
    parameters, which are frozen here.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        seen: int | None = None,
    ):
        super().__init__()
        # Two offsets and one weight for each of the kernel^2 taps.
        self.offset_conv = nn.Conv2d(
            seen or inputs,
            2 * kernel**2,
            kernel,
            padding=kernel // 2,
        )
        self.modulator_conv = nn.Conv2d(inputs, kernel**2, kernel, padding=kernel // 2)
        self.modulator_conv.requires_grad_(False)
        self.regular_conv = nn.Conv2d(inputs, outputs, kernel, bias=False)
        # Without offsets it starts as a plain convolution.
        for conv in (self.offset_conv, self.modulator_conv):
            nn.init.zeros_(conv.weight)
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        weight = self.regular_conv.weight
        offset = self.offset_conv(x if seen is None else seen)
        # The operator needs one dtype for all arguments, which autocast does not ensure.
        return deform_conv2d(
            x.to(weight),
            offset.to(weight),
            weight,
            padding=weight.shape[-1] // 2,
        )


class GatedFeedForward(nn.Module):
    """Two depthwise-convolved halves, one of which gates the other."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        factor: float,
    ):
        super().__init__()
        hidden = int(inputs * factor)
        self.project_in = nn.Conv2d(inputs, 2 * hidden, 1, bias=False)
        self.conv = nn.Conv2d(
            2 * hidden,
            2 * hidden,
            kernel,
            padding=kernel // 2,
            groups=2 * hidden,
            bias=False,
        )
        self.project_out = nn.Conv2d(hidden, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.conv(self.project_in(x)).chunk(2, 1)
        return self.project_out(F.gelu(gate) * value)


class SlotMerge(nn.Module):
    """Slot-wise merging of maps (N, channels, H, W): `slots[j]` takes the j-th quarter of each."""

    def __init__(self, channels: int, slots: Sequence[nn.Module]):
        super().__init__()
        self.conv = ConvBlock(channels, channels)
        for number, slot in enumerate(slots, 1):
            self.add_module(f"cat_conv{number}", slot)

    def forward(self, *maps: Tensor) -> Tensor:
        # The j-th element holds the j-th quarter of every map.
        quarters = zip(*(x.chunk(4, 1) for x in maps))
        slots = (self.cat_conv1, self.cat_conv2, self.cat_conv3, self.cat_conv4)
        merged = [slot(*parts) for slot, parts in zip(slots, quarters)]
        return self.conv(torch.cat(merged, 1))


class ConcatSlot(GatedFeedForward):
    """Slot of two maps, merged by a gated feed-forward of their concatenation."""

    def __init__(self, channels: int, kernel: int):
        super().__init__(2 * channels, channels, kernel, factor=2.66)

    def forward(self, *parts: Tensor) -> Tensor:
        return super().forward(torch.cat(parts, 1))


class AlignedSlot(nn.Module):
    """Slot of four maps, each aligned to the one before by a deformable convolution."""

    def __init__(self, channels: int, kernel: int):
        super().__init__()
        self.merge = Deformable(channels, channels, kernel, seen=2 * channels)
        self.conv_all = ConvBlock(4 * channels, channels)

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        aligned = [first]
        for index, x in enumerate(others):
            # The authors pair the second map with itself, not with the first.
            before = aligned[-1] if index else x
            seen = torch.cat((x, before), 1)
            aligned.append(self.merge(x, seen))
        return self.conv_all(torch.cat(aligned, 1))


class SkipBlock(nn.Module):
    """Parallel `MultiScale` and `MultiReceptive`, merged slot by slot."""

    def __init__(self, channels: int):
        super().__init__()
        self.multi_scale = MultiScale(channels, channels)
        self.multi_receptive = MultiReceptive(channels, channels)
        self.feat_merge = SlotMerge(
            channels, [ConcatSlot(channels // 4, kernel) for kernel in KERNELS]
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.feat_merge(self.multi_scale(x), self.multi_receptive(x))


class Up(nn.Module):
    """Nearest-neighbour enlargement to twice the size, and a convolution."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.gated_conv2d = conv3(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.gated_conv2d(F.interpolate(x, scale_factor=2))


class ChannelAttention(nn.Module):
    """Attention between channels: keys and values from `x`, queries (N, C, H, W) given."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(1, heads, 1, 1))
        self.kv = nn.Conv2d(channels, 2 * channels, 1, bias=False)
        self.kv_conv = Deformable(2 * channels, 2 * channels)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor, query: Tensor) -> Tensor:
        keys, values = self.kv_conv(self.kv(x)).chunk(2, 1)
        query = self._normed(query)
        keys = self._normed(keys)
        # (N, heads, C / heads, C / heads): cosines between channels.
        scores = query @ keys.transpose(-2, -1) * self.temperature
        attended = scores.softmax(-1) @ self._by_head(values)
        return self.project_out(attended.reshape(x.shape))

    def _by_head(self, x: Tensor) -> Tensor:
        # (N, C, H, W) -> (N, heads, C / heads, H W)
        return x.unflatten(1, (self.temperature.shape[1], -1)).flatten(3)

    def _normed(self, x: Tensor) -> Tensor:
        return F.normalize(self._by_head(x), dim=-1)


class NestedAttention(nn.Module):
    """Two channel attentions in sequence, with the same queries `skip`; returns both results."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.pack_attention = ChannelAttention(channels, heads)
        self.unpack_attention = ChannelAttention(channels, heads)

    def forward(self, x: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        packed = self.pack_attention(x, skip)
        return packed, self.unpack_attention(packed, skip)


class SkipAttention(nn.Module):
    """Nested attention between the channels of a decoder's feature and a skip."""

    def __init__(self, channels: int, heads: int = 8):
        super().__init__()
        self.luna_attention = NestedAttention(channels, heads)
        self.feed_forward = GatedFeedForward(channels, channels, 3, factor=2.33)
        self.packed_context_layer_norm = nn.LayerNorm(channels)
        self.unpacked_context_layer_norm = nn.LayerNorm(channels)
        self.feed_forward_layer_norm = nn.LayerNorm(channels)
        self.conv = nn.Conv2d(2 * channels, channels, 1, bias=False)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        packed, unpacked = self.luna_attention(x, skip)
        packed = _normed(self.packed_context_layer_norm, packed + skip)
        unpacked = _normed(self.unpacked_context_layer_norm, unpacked + x)
        fed = _normed(self.feed_forward_layer_norm, self.feed_forward(unpacked) + unpacked)
        return self.conv(torch.cat((fed, packed), 1))


def _normed(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
