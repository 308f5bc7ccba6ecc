"""Layers of TransWeather and MWFormer: a pyramid of transformer stages and a convolutional tail.

Feature maps between transformer blocks are channel-last, (N, H, W, C); features that leave a stage
are (N, C, H, W). `steer` are the arguments that a steered network passes to each of its layers, in
MWFormer a vector of the weather; TransWeather has none.
"""

import math
from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

STRIDE = 16
SMALLEST = 48
"""Smallest side: the reduced keys of the last patch block need 2x2 features at 1/32."""
QUERIES = 48
"""Number of learnt weather queries."""
REDUCTIONS = (4, 2, 2, 1)
"""Factor by which the map of keys and values is smaller, for each stage."""
RATIO = 2
"""Hidden channels of an encoder's MLP, in multiples of its channels."""


def channels_last(x: Tensor) -> Tensor:
    """Permute (N, C, H, W) to (N, H, W, C)."""
    return x.permute(0, 2, 3, 1)


def channels_first(x: Tensor) -> Tensor:
    """Permute (N, H, W, C) to (N, C, H, W)."""
    return x.permute(0, 3, 1, 2)


def on_map(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a convolution to a channel-last map."""
    return channels_last(layer(channels_first(x)))


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend with tokens (N, heads, L, channels / heads); return (N, L, channels)."""
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def split_heads(x: Tensor, heads: int, parts: int = 1) -> Tensor:
    """Split (N, ..., parts * channels) into (parts, N, heads, L, channels / heads)."""
    length = x.shape[-1] // parts // heads
    x = x.reshape(len(x), -1, parts, heads, length)
    return x.permute(2, 0, 3, 1, 4)


class PatchEmbed(nn.Module):
    """Strided convolution of overlapping patches and a norm: (N, C, H, W) to channel-last."""

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
        (queries,) = split_heads(q, self.heads)
        keys, values = split_heads(kv, self.heads, parts=2)
        attended = attend(queries, keys, values)
        return self.proj(attended).view(x.shape)

    def _reduced(self, x: Tensor) -> Tensor:
        return self.norm(on_map(self.sr, x)) if hasattr(self, "sr") else x


class QueryAttention(Attention):
    """Attention of learnt weather queries, stretched to one query per position."""

    def __init__(self, channels: int, heads: int):
        super().__init__(channels, heads, reduction=1)
        self.task_query = nn.Parameter(
            nn.init.normal_(self.q.weight.new_empty(1, QUERIES, channels))
        )

    def forward(self, x: Tensor, *steer: Tensor) -> Tensor:
        (q,) = split_heads(self.q(self.task_query), self.heads)
        # (1, heads, QUERIES, length) -> (1, heads, H W, length), by the nearest query.
        positions = x.shape[1] * x.shape[2]
        stretched = F.interpolate(q, size=(positions, q.shape[-1]))
        keys, values = split_heads(self.kv(x), self.heads, parts=2)
        attended = attend(stretched.expand_as(keys), keys, values)
        return self.proj(attended).view(x.shape)


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
        hidden = self.dwconv(self.fc1(x))
        return self.fc2(F.gelu(hidden))


class Block(nn.Module):
    """Pre-norm attention and MLP with residuals; training drops branches for random images."""

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
        # Drops a branch for single images of the batch.
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
    """Return TransWeather's block for a stage, 0 … 3, with keys reduced by REDUCTIONS[stage]."""
    attention = Attention(channels, heads, REDUCTIONS[stage])
    mlp = Mlp(channels, RATIO)
    return Block(channels, attention, mlp, drop_path)


class Encoder(nn.Module):
    """Encoder of up to four stages at 1/4, 1/8, 1/16 and 1/32 of the size.

    Each stage but the last also passes smaller patches of its input on to the next one.

    Args:
        dims: channels of each stage; their number is the number of stages.
        depths: blocks of each stage.
        heads: attention heads of each stage.
        drop_path: drop rate of the last block; rates rise linearly from 0.
        inputs: channels of the image.
        make_block: returns a block from the number of the stage (from 0), its channels, its heads
            and its drop rate.
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
        total = sum(depths)
        step = max(1, total - 1)
        rates = iter([drop_path * i / step for i in range(total)])
        for stage in range(self.stages):
            name = str(stage + 1)
            below = inputs if stage == 0 else dims[stage - 1]
            # The first stage has 7x7 patches with stride 4, all others 3x3 with stride 2.
            kernel, stride = (3, 2) if stage else (7, 4)
            self.add_module(f"patch_embed{name}", PatchEmbed(below, dims[stage], kernel, stride))
            stage_rates = [next(rates) for _ in range(depths[stage])]
            blocks = (make_block(stage, dims[stage], heads[stage], rate) for rate in stage_rates)
            self.add_module(f"block{name}", nn.ModuleList(blocks))
            self.add_module(f"norm{name}", nn.LayerNorm(dims[stage], eps=1e-6))
            if stage + 1 < self.stages:
                above = dims[stage + 1]
                self.add_module(f"mini_patch_embed{name}", PatchEmbed(dims[stage], above))
                # As in the authors' code, later stages keep the heads of the second one.
                block = make_block(
                    stage,
                    above,
                    heads[min(stage, 1)],
                    stage_rates[0],
                )
                self.add_module(f"patch_block{name}", nn.ModuleList([block]))
                self.add_module(f"pnorm{name}", nn.LayerNorm(above, eps=1e-6))

    def _embed(self, stage: int, x: Tensor, *steer: Tensor) -> Tensor:
        return getattr(self, f"patch_embed{stage}")(x)

    def forward(self, x: Tensor, *steer: Tensor) -> list[Tensor]:
        """Return the features of all stages, finest first."""
        features = []
        patches = 0
        for stage in range(1, self.stages + 1):
            x = self._embed(stage, x, *steer) + patches
            if stage < self.stages:
                # Smaller patches of the stage's input join the next stage's embedding.
                patches = getattr(self, f"mini_patch_embed{stage}")(channels_first(x))
                patches = self._through(
                    f"patch_block{stage}",
                    f"pnorm{stage}",
                    patches,
                    *steer,
                )
            x = channels_first(
                self._through(
                    f"block{stage}",
                    f"norm{stage}",
                    x,
                    *steer,
                )
            )
            features.append(x)
        return features

    def _through(self, blocks: str, norm: str, x: Tensor, *steer: Tensor) -> Tensor:
        for block in getattr(self, blocks):
            x = block(x, *steer)
        return getattr(self, norm)(x)


class Decoder(nn.Module):
    """Decoder: blocks with learnt weather queries, at half the size of the input."""

    def __init__(
        self,
        channels: int,
        heads: int = 8,
        depth: int = 3,
        drop_path: float = 0.1,
    ):
        super().__init__()
        self.patch_embed1 = PatchEmbed(channels, channels)
        # The authors' schedule of drop rates has 16 entries; the blocks take the first ones.
        rates = [drop_path * i / 15 for i in range(depth)]
        self.block1 = nn.ModuleList(
            Block(
                channels,
                QueryAttention(channels, heads),
                Mlp(channels, ratio=4),
                rate,
            )
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
        hidden = F.relu(self.conv1(x))
        return x + 0.1 * self.conv2(hidden)


class Tail(nn.Module):
    """Tail from the features of four stages to 8 channels at full size.

    With a decoder it also takes the decoder's features at 1/64 of the size, `deepest`.
    """

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
        # Not used; in the authors' files.
        self.conv_output = ConvLayer(8, 3).requires_grad_(False)

    def forward(self, features: list[Tensor], deepest: Tensor | None = None) -> Tensor:
        skips = list(features)
        x = skips.pop()
        if deepest is not None:
            x = x + _cut(self.convd32x(deepest), x)
        for level in range(4, 0, -1):
            x = getattr(self, f"convd{1 << level}x")(x)
            # At half the size, level 1, no stage has features.
            if level > 1:
                x = _cut(x, skips[-1])
            x = getattr(self, f"dense_{level}")(x)
            if level > 1:
                x = x + skips.pop()
        return self.convd1x(x)


def _cut(x: Tensor, like: Tensor) -> Tensor:
    """Crop `x` to the size of `like`, which may lack its last row or column."""
    return x[..., : like.shape[-2], : like.shape[-1]]


def initialise(net: nn.Module) -> nn.Module:
    """Initialise the weights of `net` in place by the authors' rule and return it."""
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Conv2d):
            height, width = layer.kernel_size
            fan_out = height * width * layer.out_channels // layer.groups
            nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
            nn.init.zeros_(layer.bias)
    return net
