"""AffineUNet: a small U-Net of dense 3x3 convolutions for weather removal on CPUs (our design).

Haze is inverted by one gain and one offset per pixel: J = I / t + A (1 - 1 / t), the atmospheric
scattering model solved for the scene. The network predicts both for every pixel and channel, and a
network that predicts zeros returns its input. It combines known parts: residual blocks without
normalisation (EDSR, Lim et al., CVPRW 2017), channel weights from local means (Chu et al.,
"Test-time local converter", ECCV 2022, here in training as well), and resizing by averages and
bilinear interpolation, which avoids checkerboard patterns (Odena et al., Distill 2016).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

RESIDUAL_START = 0.1
"""Factor on the initial weights of the last convolution of each block and of the network."""


class LocalAttention(nn.Module):
    """Channel attention with weights in (0, 2) for each pixel, from means over a window around it.

    The window is the same in training and in evaluation, so a tile and the whole image have the
    same result except near the edge of the tile.
    """

    def __init__(self, channels: int, window: int):
        super().__init__()
        # A box mean is separable: means of columns, then of rows, cost 2 w per pixel, not w^2.
        half = window // 2
        self.mean = nn.Sequential(
            nn.AvgPool2d((window, 1), stride=1, padding=(half, 0), count_include_pad=False),
            nn.AvgPool2d((1, window), stride=1, padding=(0, half), count_include_pad=False),
        )
        self.weigh = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.weigh(self.mean(x))
        # 2 sigmoid(0) = 1, so logits of zero leave x as it is.
        return x * (2 * logits.sigmoid())


class Block(nn.Module):
    """Residual block: x + attention(conv(act(conv(x)))), without the attention if `window` is 0."""

    def __init__(self, channels: int, window: int = 0):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = _small(nn.Conv2d(channels, channels, 3, padding=1))
        self.attention = LocalAttention(channels, window) if window else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.leaky_relu(self.conv1(x), 0.1)
        return x + self.attention(self.conv2(hidden))


class Down(nn.Module):
    """Half the size by the mean of 2x2 pixels, after a 1x1 convolution to more channels."""

    def __init__(self, channels: int, wider: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, wider, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv(x), 2)


class Up(nn.Module):
    """1x1 convolution to fewer channels, bilinear enlargement to twice the size, plus the skip."""

    def __init__(self, channels: int, narrower: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, narrower, 1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        narrow = self.conv(x)
        raised = F.interpolate(narrow, scale_factor=2.0, mode="bilinear", align_corners=False)
        return raised + skip


@register_arch
class AffineUNet(nn.Module):
    """U-Net that predicts a gain and an offset per pixel: restored = lq + lq * gain + offset.

    Args:
        widths: channels of the levels, from full size to the coarsest; each level has half the size
            of the one before.
        enc_blocks: residual blocks of each level on the way down, the coarsest level last.
        dec_blocks: residual blocks of each level but the coarsest on the way up, from full size.
        window: side of the window of the channel attention, an odd number of pixels of its level.
            The last block of the two coarsest levels has one. 0: no attention.
    """

    smoke = {
        "widths": [4, 6, 8],
        "enc_blocks": [1, 1, 1],
        "dec_blocks": [1, 1],
        "window": 3,
    }
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 128, 256),
        enc_blocks: Sequence[int] = (1, 1, 2, 4),
        dec_blocks: Sequence[int] = (1, 1, 1),
        window: int = 7,
    ):
        super().__init__()
        if not len(widths) == len(enc_blocks) == len(dec_blocks) + 1:
            raise ValueError(
                f"AffineUNet: {len(widths)} widths need as many enc_blocks and one fewer "
                f"dec_blocks, not {len(enc_blocks)} and {len(dec_blocks)}"
            )
        if window and window % 2 == 0:
            raise ValueError(f"AffineUNet: window must be odd, not {window}")
        # Each level but the coarsest halves the size, so sides must divide by 2 ** (levels - 1).
        self.multiple = 1 << (len(widths) - 1)
        # Only the two coarsest levels attend: there a window of 7 covers the most of the scene.
        first_attending = len(widths) - 2
        windows = [window if level >= first_attending else 0 for level in range(len(widths))]
        levels = list(zip(widths, windows))
        steps = list(pairwise(widths))
        self.intro = nn.Conv2d(3, widths[0], 3, padding=1)
        self.encoders = nn.ModuleList(
            _blocks(*level, count) for level, count in zip(levels, enc_blocks)
        )
        self.downs = nn.ModuleList(Down(fine, coarse) for fine, coarse in steps)
        self.ups = nn.ModuleList(Up(coarse, fine) for fine, coarse in steps)
        self.decoders = nn.ModuleList(
            _blocks(*level, count) for level, count in zip(levels, dec_blocks)
        )
        # Six outputs: a gain and an offset for each of the three colours.
        self.ending = _small(nn.Conv2d(widths[0], 6, 3, padding=1))

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped.
        """
        image = extended(lq, self.multiple)
        x = self.intro(image)
        skips = []
        for blocks, down in zip(self.encoders, self.downs):
            skips.append(blocks(x))
            x = down(skips[-1])
        # The coarsest level has no `down`, so `zip` above stops before it.
        x = self.encoders[-1](x)
        for blocks, up in zip(reversed(self.decoders), reversed(self.ups)):
            x = blocks(up(x, skips.pop()))
        gain, offset = self.ending(x).chunk(2, dim=1)
        return cropped(image + image * gain + offset, lq)


def _blocks(channels: int, window: int, count: int) -> nn.Sequential:
    """Return `count` blocks, the last of them with attention."""
    windows = [window if number == count - 1 else 0 for number in range(count)]
    return nn.Sequential(*(Block(channels, size) for size in windows))


def _small(conv: nn.Conv2d) -> nn.Conv2d:
    conv.weight.data.mul_(RESIDUAL_START)
    nn.init.zeros_(conv.bias)
    return conv
