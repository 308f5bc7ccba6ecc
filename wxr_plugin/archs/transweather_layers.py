"""Layers of TransWeather, which MWFormer steers by a vector: a pyramid of transformer stages and a convolutional tail.

Feature maps between transformer blocks are channel-last, (N, H, W, C); features that are handed on
are (N, C, H, W). `steer` stands for what a steered network gives to each of its layers;
TransWeather has none.
"""

import math
from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

STRIDE = 16
SMALLEST = 48  # the reduced keys of the last patch block need 2x2 features at 1/32
QUERIES = 48
REDUCTIONS = (4, 2, 2, 1)  # of the keys' map, by stage
RATIO = 2  # of an encoder's MLP


def channels_last(x: Tensor) -> Tensor:
    """(N, C, H, W) as (N, H, W, C)."""
    return x.permute(0, 2, 3, 1)


def channels_first(x: Tensor) -> Tensor:
    """(N, H, W, C) as (N, C, H, W)."""
    return x.permute(0, 3, 1, 2)


def on_map(layer: nn.Module, x: Tensor) -> Tensor:
    """A convolution on a channel-last map."""
    return channels_last(layer(channels_first(x)))


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of tokens (N, heads, L, channels / heads) -> (N, L, channels)."""
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def split_heads(x: Tensor, heads: int, parts: int = 1) -> Tensor:
    """(N, ..., parts * channels) -> (parts, N, heads, L, channels / heads)."""
    return x.reshape(len(x), -1, parts, heads, x.shape[-1] // parts // heads).permute(2, 0, 3, 1, 4)


class PatchEmbed(nn.Module):
    """A strided convolution of overlapping patches and a norm: (N, C, H, W) -> channel-last."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 2,
    ):
        super().__init__()
        self.proj = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(channels_last(self.proj(x)))


class Attention(nn.Module):
    """Self-attention whose keys and values come from a map that is `reduction` times smaller."""

    def __init__(
        self,
        channels: int,
        heads: int,
        reduction: int,
    ):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(channels, channels)
        if reduction > 1:
            self.sr = nn.Conv2d(channels, channels, reduction, reduction)
            self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, *steer: Tensor) -> Tensor:
        return self._attended(x, self.q(x), self.kv(self._reduced(x)))

    def _attended(self, x: Tensor, q: Tensor, kv: Tensor) -> Tensor:
        attended = attend(*split_heads(q, self.heads), *split_heads(kv, self.heads, parts=2))
        return self.proj(attended).view(x.shape)

    def _reduced(self, x: Tensor) -> Tensor:
        return self.norm(on_map(self.sr, x)) if hasattr(self, "sr") else x


class QueryAttention(Attention):
    """Attention of learnt weather queries, as many as there are positions by repetition of the nearest."""

    def __init__(self, channels: int, heads: int):
        super().__init__(channels, heads, reduction=1)
        self.task_query = nn.Parameter(
            nn.init.normal_(self.q.weight.new_empty(1, QUERIES, channels))
        )

    def forward(self, x: Tensor, *steer: Tensor) -> Tensor:
        (q,) = split_heads(self.q(self.task_query), self.heads)
        stretched = F.interpolate(q, size=(x.shape[1] * x.shape[2], q.shape[-1]))
        keys, values = split_heads(self.kv(x), self.heads, parts=2)
        return self.proj(attend(stretched.expand_as(keys), keys, values)).view(x.shape)


class DWConv(nn.Module):
    """The depthwise 3x3 convolution of `Mlp`."""

    def __init__(self, channels: int):
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor, *steer: Tensor) -> Tensor:
        return on_map(self.dwconv, x)


class Mlp(nn.Module):
    """Two linear layers around a depthwise convolution and GELU."""

    def __init__(self, channels: int, ratio: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, ratio * channels)
        self.dwconv = DWConv(ratio * channels)
        self.fc2 = nn.Linear(ratio * channels, channels)

    def forward(self, x: Tensor, *steer: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.dwconv(self.fc1(x))))


class Block(nn.Module):
    """Attention and MLP, each after a norm and added to its input; training drops them for some of the images."""

    def __init__(
        self,
        channels: int,
        attn: nn.Module,
        mlp: nn.Module,
        drop_path: float,
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = attn
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = mlp
        self.drop_path = StochasticDepth(drop_path, "row")

    def forward(self, x: Tensor, *steer: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x), *steer))
        return x + self.drop_path(self.mlp(self.norm2(x), *steer))


def plain_block(
    stage: int,
    channels: int,
    heads: int,
    drop_path: float,
) -> Block:
    """TransWeather's block for a stage, 0 … 3, whose attention sees the map made smaller by REDUCTIONS[stage]."""
    return Block(
        channels, Attention(channels, heads, REDUCTIONS[stage]), Mlp(channels, RATIO), drop_path
    )


class Encoder(nn.Module):
    """Up to four stages at 1/4, 1/8, 1/16 and 1/32 of the size; each but the last hands patches of its input on.

    `dims`, `depths`, `heads`: channels, blocks and attention heads a stage; the number of stages is
    theirs. `drop_path` rises linearly from 0 to its value over the blocks. `inputs`: channels of
    the image. `make_block` makes one from the stage, from 0 on, its channels, its heads and its
    rate.
    """

    def __init__(
        self,
        dims: Sequence[int],
        depths: Sequence[int],
        heads: Sequence[int],
        drop_path: float = 0.1,
        inputs: int = 3,
        make_block: Callable[[int, int, int, float], Block] = plain_block,
    ):
        super().__init__()
        self.stages = len(dims)
        rates = iter([drop_path * i / max(1, sum(depths) - 1) for i in range(sum(depths))])
        for stage in range(self.stages):
            name = str(stage + 1)
            below = inputs if stage == 0 else dims[stage - 1]
            self.add_module(
                f"patch_embed{name}", PatchEmbed(below, dims[stage], *(() if stage else (7, 4)))
            )
            own = [next(rates) for _ in range(depths[stage])]
            blocks = (make_block(stage, dims[stage], heads[stage], rate) for rate in own)
            self.add_module(f"block{name}", nn.ModuleList(blocks))
            self.add_module(f"norm{name}", nn.LayerNorm(dims[stage], eps=1e-6))
            if stage + 1 < self.stages:
                above = dims[stage + 1]
                self.add_module(f"mini_patch_embed{name}", PatchEmbed(dims[stage], above))
                block = make_block(stage, above, heads[min(stage, 1)], own[0])
                self.add_module(f"patch_block{name}", nn.ModuleList([block]))
                self.add_module(f"pnorm{name}", nn.LayerNorm(above, eps=1e-6))

    def _embed(self, stage: int, x: Tensor, *steer: Tensor) -> Tensor:
        return getattr(self, f"patch_embed{stage}")(x)

    def forward(self, x: Tensor, *steer: Tensor) -> list[Tensor]:
        """The features of all stages, finest first."""
        features = []
        patches = 0
        for stage in range(1, self.stages + 1):
            x = self._embed(stage, x, *steer) + patches
            if stage < self.stages:
                patches = getattr(self, f"mini_patch_embed{stage}")(channels_first(x))
                patches = self._through(f"patch_block{stage}", f"pnorm{stage}", patches, *steer)
            x = channels_first(self._through(f"block{stage}", f"norm{stage}", x, *steer))
            features.append(x)
        return features

    def _through(self, blocks: str, norm: str, x: Tensor, *steer: Tensor) -> Tensor:
        for block in getattr(self, blocks):
            x = block(x, *steer)
        return getattr(self, norm)(x)


class Decoder(nn.Module):
    """Blocks whose attention asks with learnt weather queries, at half the size of their input."""

    def __init__(
        self,
        channels: int,
        heads: int = 8,
        depth: int = 3,
        drop_path: float = 0.1,
    ):
        super().__init__()
        self.patch_embed1 = PatchEmbed(channels, channels)
        rates = [
            drop_path * i / 15 for i in range(depth)
        ]  # the first of 16, as the authors' schedule counts them
        self.block1 = nn.ModuleList(
            Block(channels, QueryAttention(channels, heads), Mlp(channels, ratio=4), rate)
            for rate in rates
        )
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed1(x)
        for block in self.block1:
            x = block(x)
        return channels_first(self.norm1(x))


class ConvLayer(nn.Module):
    """3x3 convolution."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv2d = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2d(x)


class UpsampleConvLayer(nn.Module):
    """Transposed convolution: twice the size."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv2d = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2d(x)


class ResidualBlock(nn.Module):
    """x + 0.1 conv(ReLU(conv(x)))."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = ConvLayer(channels, channels)
        self.conv2 = ConvLayer(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * self.conv2(F.relu(self.conv1(x)))


class Tail(nn.Module):
    """From the features of four stages, and `deepest` at 1/64 where there is a decoder, to 8 channels at full size."""

    def __init__(self, dims: Sequence[int], decoded: bool = True):
        super().__init__()
        if decoded:
            self.convd32x = UpsampleConvLayer(dims[3], dims[3])
        widths = (dims[3], dims[2], dims[1], dims[0], 16)
        for level in range(4, 0, -1):
            inputs = widths[4 - level]
            outputs = widths[5 - level]
            self.add_module(f"convd{1 << level}x", UpsampleConvLayer(inputs, outputs))
            self.add_module(f"dense_{level}", nn.Sequential(ResidualBlock(outputs)))
        self.convd1x = UpsampleConvLayer(16, 8)
        self.conv_output = ConvLayer(8, 3).requires_grad_(False)  # not used; in the authors' files

    def forward(self, features: list[Tensor], deepest: Tensor | None = None) -> Tensor:
        skips = list(features)
        x = skips.pop()
        if deepest is not None:
            x = x + _cut(self.convd32x(deepest), x)
        for level in range(4, 0, -1):
            x = getattr(self, f"convd{1 << level}x")(x)
            x = x if level == 1 else _cut(x, skips[-1])
            x = getattr(self, f"dense_{level}")(x)
            x = x if level == 1 else x + skips.pop()
        return self.convd1x(x)


def _cut(x: Tensor, like: Tensor) -> Tensor:
    """`x` without the last row or column that the finer map `like` lacks."""
    return x[..., : like.shape[-2], : like.shape[-1]]


def initialise(net: nn.Module) -> nn.Module:
    """`net` with the weights of its transformer layers as the authors draw them."""
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Conv2d):
            fan_out = (
                layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels // layer.groups
            )
            nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
            nn.init.zeros_(layer.bias)
    return net
