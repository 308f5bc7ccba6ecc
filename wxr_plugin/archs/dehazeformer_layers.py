"""Blocks of DehazeFormer: rescale layer norm, and convolution with window attention."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINDOW = 8
"""Side of a window in pixels."""
BIAS_WIDTH = 256
"""Hidden channels of the network that computes the position bias."""


class RLN(nn.Module):
    """Rescale layer norm: normalises a whole map and predicts the scale and mean to put back."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.meta1 = nn.Conv2d(1, channels, 1)
        self.meta2 = nn.Conv2d(1, channels, 1)
        for meta, start in ((self.meta1, 1), (self.meta2, 0)):
            nn.init.trunc_normal_(meta.weight, std=0.02)
            nn.init.constant_(meta.bias, start)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return `x` normalised, and the scale and mean (N, C, 1, 1) to restore after the block."""
        mean = x.mean((1, 2, 3), keepdim=True)
        variance = (x - mean).square().mean((1, 2, 3), keepdim=True)
        deviation = (variance + 1e-5).sqrt()
        normalised = (x - mean) / deviation * self.weight + self.bias
        return normalised, self.meta1(deviation), self.meta2(mean)


class WindowAttention(nn.Module):
    """Attention within windows of 8x8 pixels; a small network maps relative positions to a bias."""

    def __init__(self, heads: int):
        super().__init__()
        self.heads = heads
        self.register_buffer("relative_positions", _relative_positions())
        self.meta = nn.Sequential(
            nn.Linear(2, BIAS_WIDTH),
            nn.ReLU(),
            nn.Linear(BIAS_WIDTH, heads),
        )

    def forward(self, qkv: Tensor, shift: int) -> Tensor:
        """Attend within windows: queries, keys and values (N, 3 C, H, W) to (N, C, H, W).

        The first windows begin `shift` pixels above and left of the image.
        """
        height, width = qkv.shape[-2:]
        below = -(height + shift) % WINDOW
        right = -(width + shift) % WINDOW
        padded = F.pad(qkv, (shift, right, shift, below), mode="reflect")
        query, key, value = self._windows(padded)
        # (64, 64, heads) -> (heads, 64, 64), added to the logits of every window.
        bias = self.meta(self.relative_positions).permute(2, 0, 1).to(query.dtype)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        joined = _joined(attended, padded.shape)
        return joined[..., shift : shift + height, shift : shift + width]

    def _windows(self, x: Tensor) -> Tensor:
        """Cut (N, 3 C, H, W) into (3, windows, heads, pixels of a window, channels of a head)."""
        count, channels, height, width = x.shape
        x = x.reshape(
            count,
            3,
            self.heads,
            channels // 3 // self.heads,
            height // WINDOW,
            WINDOW,
            width // WINDOW,
            WINDOW,
        )
        return x.permute(1, 0, 4, 6, 2, 5, 7, 3).flatten(5, 6).flatten(1, 3)


class Mixer(nn.Module):
    """Spatial mixing of a block: a convolution, optionally summed with window attention.

    Args:
        channels: channels of the features.
        heads: attention heads.
        shift: pixels by which the windows are shifted.
        attends: add window attention.
        depthwise: use one depthwise 5x5 convolution instead of two full 3x3 ones.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        shift: int,
        attends: bool,
        depthwise: bool,
    ):
        super().__init__()
        self.shift = shift
        self.conv = _depthwise(channels) if depthwise else _two_convolutions(channels)
        if attends or depthwise:
            self.V = nn.Conv2d(channels, channels, 1)
            self.proj = nn.Conv2d(channels, channels, 1)
        if attends:
            self.QK = nn.Conv2d(channels, 2 * channels, 1)
            self.attn = WindowAttention(heads)

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "V"):
            return self.conv(x)
        value = self.V(x)
        if not hasattr(self, "attn"):
            return self.proj(self.conv(value))
        qkv = torch.cat((self.QK(x), value), dim=1)
        return self.proj(self.conv(value) + self.attn(qkv, self.shift))


class Mlp(nn.Module):
    """Two 1x1 convolutions with a ReLU between them."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)


class Block(nn.Module):
    """Spatial mixing, normalised only in blocks that attend, and an MLP without normalisation."""

    def __init__(
        self,
        channels: int,
        heads: int,
        mlp_ratio: float,
        shift: int,
        attends: bool,
        depthwise: bool,
    ):
        super().__init__()
        if attends:
            self.norm1 = RLN(channels)
        self.attn = Mixer(channels, heads, shift, attends, depthwise)
        self.mlp = Mlp(channels, int(channels * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "norm1"):
            # The norm's statistics are restored after the mixing: x + mix(norm(x)) * scale + mean.
            normalised, scale, mean = self.norm1(x)
            x = x + self.attn(normalised) * scale + mean
        else:
            x = x + self.attn(x)
        return x + self.mlp(x)


class SKFusion(nn.Module):
    """Weighted sum of two feature maps; the weights of a channel sum to 1."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(channels // 8, 4)
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(hidden, 2 * channels, 1, bias=False),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        means = (first + second).mean((2, 3), keepdim=True)
        # (N, 2 C, 1, 1) -> (N, 2, C, 1, 1), a softmax over the two maps.
        weights = self.mlp(means).unflatten(1, (2, first.shape[1])).softmax(dim=1)
        return weights[:, 0] * first + weights[:, 1] * second


def initialise(blocks: nn.Module, depth: int) -> None:
    """Initialise the convolutions of `blocks` by the authors' rule.

    Residual branches without normalisation need small weights: the gain is (8 depth) ** -1/4.
    """
    for name, layer in blocks.named_modules():
        if isinstance(layer, nn.Conv2d) and ".norm1." not in name:
            fan_in = layer.weight[0].numel()
            fan_out = layer.weight[:, 0].numel()
            gain = 1 if name.endswith("QK") else (8 * depth) ** -0.25
            # Xavier's standard deviation times the gain.
            std = gain * math.sqrt(2 / (fan_in + fan_out))
            nn.init.trunc_normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)


def _joined(windows: Tensor, shape: torch.Size) -> Tensor:
    """Join (windows, heads, pixels, channels) to (N, C, H, W); `shape` has N, H and W."""
    count, _, height, width = shape
    x = windows.unflatten(0, (count, height // WINDOW, width // WINDOW))
    x = x.unflatten(4, (WINDOW, WINDOW))
    # (N, rows, columns, heads, y, x, channels) -> (N, heads, channels, rows, y, columns, x)
    x = x.permute(0, 3, 6, 1, 4, 2, 5)
    return x.flatten(1, 2).flatten(2, 3).flatten(3, 4)


def _relative_positions() -> Tensor:
    """Return sign(d) log(1 + |d|) of the offsets d between all pixels of a window: (64, 64, 2)."""
    side = torch.arange(WINDOW)
    places = torch.stack(torch.meshgrid(side, side, indexing="ij"), dim=-1).flatten(0, 1)
    differences = (places[:, None] - places[None]).float()
    return differences.sign() * differences.abs().log1p()


def _depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(
        channels,
        channels,
        5,
        padding=2,
        groups=channels,
        padding_mode="reflect",
    )


def _two_convolutions(channels: int) -> nn.Sequential:
    first = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
    second = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
    return nn.Sequential(
        first,
        nn.ReLU(),
        second,
    )
