"""The blocks of DehazeFormer: normalisation that gives the statistics back, and convolution with window attention."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINDOW = 8
BIAS_WIDTH = 256


class RLN(nn.Module):
    """Rescale layer normalisation: over a whole feature map, with what puts its scale and its mean back afterwards."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.meta1, self.meta2 = nn.Conv2d(1, channels, 1), nn.Conv2d(1, channels, 1)
        for meta, start in ((self.meta1, 1), (self.meta2, 0)):
            nn.init.trunc_normal_(meta.weight, std=0.02)
            nn.init.constant_(meta.bias, start)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`x` normalised, its new scale and its new mean (N, C, 1, 1)."""
        mean = x.mean((1, 2, 3), keepdim=True)
        deviation = ((x - mean).square().mean((1, 2, 3), keepdim=True) + 1e-5).sqrt()
        return (
            (x - mean) / deviation * self.weight + self.bias,
            self.meta1(deviation),
            self.meta2(mean),
        )


class WindowAttention(nn.Module):
    """Attention within windows of 8x8 pixels, with a bias that a small network gives for every difference of places."""

    def __init__(self, heads: int):
        super().__init__()
        self.heads = heads
        self.register_buffer("relative_positions", _relative_positions())
        self.meta = nn.Sequential(nn.Linear(2, BIAS_WIDTH), nn.ReLU(), nn.Linear(BIAS_WIDTH, heads))

    def forward(self, qkv: Tensor, shift: int) -> Tensor:
        """Queries, keys and values (N, 3 C, H, W) become (N, C, H, W); windows begin `shift` before the image."""
        height, width = qkv.shape[-2:]
        below, right = (-(side + shift) % WINDOW for side in (height, width))
        padded = F.pad(qkv, (shift, right, shift, below), mode="reflect")
        query, key, value = self._windows(padded)
        bias = self.meta(self.relative_positions).permute(2, 0, 1).to(query.dtype)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return _joined(attended, padded.shape)[..., shift : shift + height, shift : shift + width]

    def _windows(self, x: Tensor) -> Tensor:
        """(N, 3 C, H, W) to (3, windows, heads, pixels of a window, channels of a head)."""
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
    """What a block does with the neighbourhood of a pixel: a convolution, with or without window attention beside it.

    `depthwise`: one 5x5 convolution of each channel; else two full 3x3 ones.
    """

    def __init__(self, channels: int, heads: int, shift: int, attends: bool, depthwise: bool):
        super().__init__()
        self.shift = shift
        self.conv = _depthwise(channels) if depthwise else _two_convolutions(channels)
        if attends or depthwise:
            self.V, self.proj = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        if attends:
            self.QK, self.attn = nn.Conv2d(channels, 2 * channels, 1), WindowAttention(heads)

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "V"):
            return self.conv(x)
        value = self.V(x)
        if not hasattr(self, "attn"):
            return self.proj(self.conv(value))
        return self.proj(
            self.conv(value) + self.attn(torch.cat((self.QK(x), value), dim=1), self.shift)
        )


class Mlp(nn.Module):
    """Two 1x1 convolutions."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)


class Block(nn.Module):
    """The mixer, normalised only where it attends, and an MLP that never is."""

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
            normalised, scale, mean = self.norm1(x)
            x = x + self.attn(normalised) * scale + mean
        else:
            x = x + self.attn(x)
        return x + self.mlp(x)


class SKFusion(nn.Module):
    """Two feature maps summed, with a weight for every channel of each."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(channels // 8, 4)
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(hidden, 2 * channels, 1, bias=False),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        weights = self.mlp((first + second).mean((2, 3), keepdim=True))
        weights = weights.unflatten(1, (2, first.shape[1])).softmax(dim=1)
        return weights[:, 0] * first + weights[:, 1] * second


def initialise(blocks: nn.Module, depth: int) -> None:
    """Weights of blocks that are not normalised, small enough for a network of `depth` of them (the authors' rule)."""
    for name, layer in blocks.named_modules():
        if isinstance(layer, nn.Conv2d) and ".norm1." not in name:
            fans = layer.weight[0].numel() + layer.weight[:, 0].numel()
            gain = 1 if name.endswith("QK") else (8 * depth) ** -0.25
            nn.init.trunc_normal_(layer.weight, std=gain * math.sqrt(2 / fans))
            nn.init.zeros_(layer.bias)


def _joined(windows: Tensor, shape: torch.Size) -> Tensor:
    """(windows, heads, pixels, channels) to (N, C, H, W), of which `shape` has N, H and W."""
    count, _, height, width = shape
    x = windows.unflatten(0, (count, height // WINDOW, width // WINDOW)).unflatten(
        4, (WINDOW, WINDOW)
    )
    return x.permute(0, 3, 6, 1, 4, 2, 5).flatten(1, 2).flatten(2, 3).flatten(3, 4)


def _relative_positions() -> Tensor:
    """Differences of row and column between all pixels of a window, logarithmic, with their signs: (64, 64, 2)."""
    side = torch.arange(WINDOW)
    places = torch.stack(torch.meshgrid(side, side, indexing="ij"), dim=-1).flatten(0, 1)
    differences = (places[:, None] - places[None]).float()
    return differences.sign() * differences.abs().log1p()


def _depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 5, padding=2, groups=channels, padding_mode="reflect")


def _two_convolutions(channels: int) -> nn.Sequential:
    first, second = (
        nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect") for _ in range(2)
    )
    return nn.Sequential(first, nn.ReLU(), second)
