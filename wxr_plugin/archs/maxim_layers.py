"""Layers of MAXIM.

Features are channel-last, (N, H, W, C), as in the authors' code; so are the names of attributes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

REDUCTION = 4
"""Factor between the channels and the hidden channels of channel attention."""
SLOPE = 0.2
"""Negative slope of leaky ReLUs."""


class Conv(nn.Conv2d):
    """Convolution of channel-last maps (N, H, W, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(-1, 1)).movedim(1, -1)


class Raise(nn.ConvTranspose2d):
    """Transposed convolution of channel-last maps (N, H, W, C) to twice the size."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(-1, 1)).movedim(1, -1)


class Resize(nn.Module):
    """Resize to another level's size and width, with antialiasing as in jax.image.resize."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.Conv_0 = mixed(inputs, outputs)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        if x.shape[1:3] != size:
            shrinks = size[0] < x.shape[1]
            # torch has no antialiased resize for bfloat16.
            wide = x.movedim(-1, 1).to(torch.promote_types(x.dtype, torch.float32))
            resized = F.interpolate(
                wide, size, mode="bilinear", align_corners=False, antialias=shrinks
            )
            x = resized.movedim(1, -1)
        return self.Conv_0(x)


class GatingUnit(nn.Module):
    """One half of the channels times the other, which a linear layer mixes over positions."""

    def __init__(
        self,
        channels: int,
        places: int,
        over: int,
    ):
        super().__init__()
        self.over = over
        self.intermediate_layernorm = norm(channels)
        self.Dense_0 = nn.Linear(places, places)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = x.chunk(2, dim=-1)
        gate = self.intermediate_layernorm(gate)
        gate = over_places(self.Dense_0, gate, self.over)
        # With + 1 the unit is near the identity where the gate is small.
        return value * (gate + 1)


class GatedMlp(nn.Module):
    """The paper's gMLP over the cells of a `side` x `side` grid, or the pixels of such patches."""

    def __init__(
        self,
        channels: int,
        side: int,
        grid: bool,
    ):
        super().__init__()
        self.side = side
        self.grid = grid
        self.LayerNorm = norm(channels)
        self.in_project = nn.Linear(channels, 2 * channels)
        # Over positions within the grid (axis 1) or within the patch (axis 2).
        self.unit = "GridGatingUnit" if grid else "BlockGatingUnit"
        self.add_module(self.unit, GatingUnit(channels, side**2, 1 if grid else 2))
        self.out_project = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        sides = patch_sides(x, self.side, self.grid)
        patches = cut(x, sides)
        y = gelu(self.in_project(self.LayerNorm(patches)))
        y = self.get_submodule(self.unit)(y)
        return joined(patches + self.out_project(y), sides, x.shape)


class MultiAxisMlp(nn.Module):
    """The paper's multi-axis gated MLP: half of the channels over the grid, half within patches."""

    def __init__(self, channels: int, side: int):
        super().__init__()
        self.LayerNorm_in = norm(channels)
        self.in_project = nn.Linear(channels, 2 * channels)
        self.GridGmlpLayer = GatedMlp(channels, side, grid=True)
        self.BlockGmlpLayer = GatedMlp(channels, side, grid=False)
        self.out_project = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        # Twice the channels, one half for each axis.
        y = gelu(self.in_project(self.LayerNorm_in(x)))
        u, v = y.chunk(2, dim=-1)
        u = self.GridGmlpLayer(u)
        v = self.BlockGmlpLayer(v)
        return x + self.out_project(torch.cat((u, v), -1))


class MultiAxisGate(nn.Module):
    """Gate by which one branch of cross gating multiplies the other."""

    def __init__(self, channels: int, side: int):
        super().__init__()
        self.side = side
        self.LayerNorm_in = norm(channels)
        self.in_project = nn.Linear(channels, 2 * channels)
        self.Dense_0 = nn.Linear(side**2, side**2)
        self.Dense_1 = nn.Linear(side**2, side**2)
        self.out_project = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = gelu(self.in_project(self.LayerNorm_in(x)))
        u, v = y.chunk(2, dim=-1)
        u = self._mixed(u, self.Dense_0, grid=True)
        v = self._mixed(v, self.Dense_1, grid=False)
        return self.out_project(torch.cat((u, v), -1))

    def _mixed(self, x: Tensor, dense: nn.Linear, grid: bool) -> Tensor:
        sides = patch_sides(x, self.side, grid)
        patches = cut(x, sides)  # (N, patches, pixels, C)
        patches = over_places(dense, patches, 1 if grid else 2)
        return joined(patches, sides, x.shape)


class CrossGating(nn.Module):
    """The paper's CGB: two feature maps, each gated by the other.

    Args:
        inputs: channels of the first map.
        channels: channels of the result, and of the second map unless `raised` is given.
        side: side of grid and patches.
        raised: channels of the second map if it has half the size of the first.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        side: int,
        raised: int | None = None,
    ):
        super().__init__()
        if raised:
            self.ConvTranspose_0 = Raise(raised, channels)
        self.Conv_0 = mixed(inputs, channels)
        self.Conv_1 = mixed(channels, channels)
        for branch in "xy":
            self.add_module(f"LayerNorm_{branch}", norm(channels))
            self.add_module(f"in_project_{branch}", nn.Linear(channels, channels))
            self.add_module(f"SplitHeadMultiAxisGating_{branch}", MultiAxisGate(channels, side))
            self.add_module(f"out_project_{branch}", nn.Linear(channels, channels))

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if hasattr(self, "ConvTranspose_0"):
            y = self.ConvTranspose_0(y)
        first = self.Conv_0(x)
        second = self.Conv_1(y)
        x = gelu(self.in_project_x(self.LayerNorm_x(first)))
        y = gelu(self.in_project_y(self.LayerNorm_y(second)))
        # Each map is multiplied by the gate of the other one.
        gate_x = self.SplitHeadMultiAxisGating_x(x)
        gate_y = self.SplitHeadMultiAxisGating_y(y)
        # The second map, already gated, is added to the first, as in the authors' code.
        y = second + self.out_project_y(y * gate_x)
        x = first + y + self.out_project_x(x * gate_y)
        return x, y


class ChannelAttention(nn.Module):
    """Weights of channels from the means of all channels (squeeze and excitation)."""

    def __init__(self, channels: int):
        super().__init__()
        self.Conv_0 = mixed(channels, channels // REDUCTION)
        self.Conv_1 = mixed(channels // REDUCTION, channels)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((1, 2), keepdim=True)
        hidden = self.Conv_0(means).relu()
        return x * self.Conv_1(hidden).sigmoid()


class ConvAttention(nn.Module):
    """The authors' RCAB: two convolutions and channel attention, added to the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.LayerNorm = norm(channels)
        self.conv1 = Conv(channels, channels, 3, padding=1)
        self.conv2 = Conv(channels, channels, 3, padding=1)
        self.channel_attention = ChannelAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.LayerNorm(x))
        y = self.conv2(F.leaky_relu(y, SLOPE))
        return x + self.channel_attention(y)


class DenseAttention(nn.Module):
    """The authors' RDCAB: a small MLP and channel attention, added to the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.LayerNorm = norm(channels)
        self.channel_mixing = nn.Module()
        self.channel_mixing.Dense_0 = nn.Linear(channels, channels)
        self.channel_mixing.Dense_1 = nn.Linear(channels, channels)
        self.channel_attention = ChannelAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.LayerNorm(x)
        y = gelu(self.channel_mixing.Dense_0(y))
        y = self.channel_mixing.Dense_1(y)
        return x + self.channel_attention(y)


class Block(nn.Module):
    """Level of the encoder: multi-axis MLPs and attention, gated by the stage before."""

    def __init__(
        self,
        inputs: int,
        channels: int,
        side: int,
        groups: int,
        gated: bool = False,
        halves: bool = True,
    ):
        super().__init__()
        self.groups = groups
        self.Conv_0 = mixed(inputs, channels)
        for group in range(groups):
            self.add_module(f"SplitHeadMultiAxisGmlpLayer_{group}", MultiAxisMlp(channels, side))
            self.add_module(f"channel_attention_block_1{group}", ConvAttention(channels))
        if gated:
            self.cross_gating_block = CrossGating(channels, channels, side)
        if halves:
            self.Conv_1 = Conv(channels, channels, 4, stride=2, padding=1)

    def forward(self, x: Tensor, skip: Tensor, before: Tensor | None = None) -> Tensor:
        """Return the features of this level; `Conv_1` of them is the input of the next level."""
        x = self.Conv_0(torch.cat((x, skip), -1))
        shortcut = x
        for group in range(self.groups):
            x = self.get_submodule(f"SplitHeadMultiAxisGmlpLayer_{group}")(x)
            x = self.get_submodule(f"channel_attention_block_1{group}")(x)
        x = x + shortcut
        if before is None:
            return x
        return self.cross_gating_block(x, before)[0]


class DecoderBlock(nn.Module):
    """Level of the decoder: a transposed convolution to twice the size, then a block."""

    def __init__(
        self,
        inputs: int,
        skips: int,
        channels: int,
        side: int,
        groups: int,
    ):
        super().__init__()
        self.ConvTranspose_0 = Raise(inputs, channels)
        self.UNetEncoderBlock_0 = Block(channels + skips, channels, side, groups, halves=False)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.UNetEncoderBlock_0(self.ConvTranspose_0(x), skip)


class Bottleneck(nn.Module):
    """Groups of multi-axis MLP and dense attention at the smallest size."""

    def __init__(
        self,
        channels: int,
        side: int,
        groups: int,
    ):
        super().__init__()
        self.groups = groups
        self.input_proj = mixed(channels, channels)
        for group in range(groups):
            self.add_module(f"SplitHeadMultiAxisGmlpLayer_{group}", MultiAxisMlp(channels, side))
            self.add_module(f"channel_attention_block_1_{group}", DenseAttention(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = self.input_proj(x)
        shortcut = x
        for group in range(self.groups):
            x = self.get_submodule(f"SplitHeadMultiAxisGmlpLayer_{group}")(x)
            x = self.get_submodule(f"channel_attention_block_1_{group}")(x)
        return x + shortcut


class SupervisedAttention(nn.Module):
    """Supervised attention: restores a stage's image and weighs the features by that image."""

    def __init__(self, channels: int):
        super().__init__()
        self.Conv_0 = Conv(channels, channels, 3, padding=1)
        self.Conv_1 = Conv(channels, 3, 3, padding=1)
        self.Conv_2 = Conv(3, channels, 3, padding=1)

    def forward(self, x: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        restored = self.Conv_1(x) + image
        weights = self.Conv_2(restored).sigmoid()
        return self.Conv_0(x) * weights + x, restored


def mixed(inputs: int, outputs: int) -> Conv:
    """Return a 1x1 convolution."""
    return Conv(inputs, outputs, 1)


def norm(channels: int) -> nn.LayerNorm:
    """Return a layer norm with the epsilon of flax."""
    return nn.LayerNorm(channels, eps=1e-6)


def gelu(x: Tensor) -> Tensor:
    """Apply GELU by its tanh approximation, the default of flax."""
    return F.gelu(x, approximate="tanh")


def patch_sides(x: Tensor, side: int, grid: bool) -> tuple[int, int]:
    """Return height and width of the cells of a `side` x `side` grid, or of such patches."""
    if grid:
        return x.shape[1] // side, x.shape[2] // side
    return side, side


def cut(x: Tensor, sides: tuple[int, int]) -> Tensor:
    """Cut (N, H, W, C) into patches of the given sides: (N, patches, pixels, C)."""
    height, width = sides
    number, rows, columns, channels = x.shape
    x = x.reshape(number, rows // height, height, columns // width, width, channels)
    return x.transpose(2, 3).reshape(number, -1, height * width, channels)


def joined(patches: Tensor, sides: tuple[int, int], shape: torch.Size) -> Tensor:
    """Invert `cut`: patches (N, patches, pixels, C) to a map (N, H, W, C) of the given shape."""
    height, width = sides
    number, rows, columns, channels = shape
    x = patches.reshape(number, rows // height, columns // width, height, width, channels)
    # Patch rows next to pixel rows, patch columns next to pixel columns.
    return x.transpose(2, 3).reshape(shape)


def over_places(dense: nn.Linear, x: Tensor, axis: int) -> Tensor:
    """Apply `dense` along `axis` instead of the last axis."""
    return dense(x.transpose(axis, -1)).transpose(axis, -1)
