"""GCANet (Chen et al., Gated Context Aggregation Network for Image Dehazing and Deraining, WACV 2019).

The authors state no licence; their README allows use for research. Kept as they have it: the
network sees its own range of levels and a fourth channel of edges; deraining gives the image,
dehazing what is to be added to it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

STRIDE = 4
DILATIONS = (2, 2, 2, 4, 4, 4, 1)
"""Of the seven residual blocks."""
GATED = (4, 7)
"""After these blocks, and before the first, features are kept for the gates."""


class SharedConv(nn.Module):
    """One filter for every channel, which smooths what a dilated convolution would leave in a grid."""

    def __init__(self, kernel: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, kernel, kernel))
        nn.init.dirac_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.weight.shape[-1]
        return F.conv2d(
            x, self.weight.expand(channels, 1, kernel, kernel), padding=kernel // 2, groups=channels
        )


class ResidualBlock(nn.Module):
    """Two convolutions of a dilation, each smoothed before where the dilation is more than one."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        for number in (1, 2):
            if dilation > 1:
                self.add_module(f"pre_conv{number}", SharedConv(2 * dilation - 1))
            self.add_module(f"conv{number}", _conv(width, width, dilation=dilation))
            self.add_module(f"norm{number}", _norm(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self._half(2, F.relu(self._half(1, x))))

    def _half(self, number: int, x: Tensor) -> Tensor:
        if hasattr(self, f"pre_conv{number}"):
            x = getattr(self, f"pre_conv{number}")(x)
        return getattr(self, f"norm{number}")(getattr(self, f"conv{number}")(x))


@register_arch
class GCANet(nn.Module):
    """GCANet with the authors' state-dict names, so that their weights load.

    Args:
        only_residual: what the network gives is added to the image (dehazing as published); False:
            it gives the image (deraining as published).
        width: channels of its features.
    """

    smoke = {"width": 8}
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(self, only_residual: bool = True, width: int = 64):
        super().__init__()
        self.only_residual = only_residual
        self.conv1 = _conv(4, width)
        self.conv2 = _conv(width, width)
        self.conv3 = _conv(width, width, stride=2)
        for number, dilation in enumerate(DILATIONS, 1):
            self.add_module(f"res{number}", ResidualBlock(width, dilation))
        self.gate = nn.Conv2d(3 * width, 3, 3, padding=1)
        self.deconv3 = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        self.deconv2 = nn.Conv2d(width, width, 3, padding=1)
        self.deconv1 = nn.Conv2d(width, 3, 1)
        for number in range(1, 6):
            self.add_module(f"norm{number}", _norm(width))

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped.
        The authors' levels are those of 8 bits, with an edge map beside the colours and 128 taken
        off. They resize images to multiples of 4; here these are extended right and below by
        reflection, and the result is cropped (our choice).
        """
        image = extended(lq, STRIDE) * 255
        restored = self.published(torch.cat((image, edges(image)), dim=1) - 128)
        return cropped(restored + image if self.only_residual else restored, lq) / 255

    def published(self, x: Tensor) -> Tensor:
        """What the authors' network gives (N, 3, H, W) for colours and edges (N, 4, H, W) less 128, H and W even."""
        x = F.relu(self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))
        x = self._gated(F.relu(self.norm3(self.conv3(x))))
        x = F.relu(self.norm4(self.deconv3(x)))
        x = self.deconv1(F.relu(self.norm5(self.deconv2(x))))
        return x if self.only_residual else F.relu(x)

    def _gated(self, x: Tensor) -> Tensor:
        """Features of three depths, summed with weights that depend on the place."""
        kept = [x]
        for number in range(1, len(DILATIONS) + 1):
            x = getattr(self, f"res{number}")(x)
            if number in GATED:
                kept.append(x)
        gates = self.gate(torch.cat(kept, dim=1)).split(1, dim=1)
        return sum(gate * feature for gate, feature in zip(gates, kept))


def edges(image: Tensor) -> Tensor:
    """Absolute differences to the up to four neighbours, mean of the colours, a quarter of their sum: (N, 1, H, W)."""
    across, down = (image.diff(dim=dim).abs().mean(1, keepdim=True) for dim in (-1, -2))
    sides = (
        F.pad(across, (1, 0)),
        F.pad(across, (0, 1)),
        F.pad(down, (0, 0, 1, 0)),
        F.pad(down, (0, 0, 0, 1)),
    )
    return sum(sides) / 4


def _conv(
    inputs: int,
    outputs: int,
    stride: int = 1,
    dilation: int = 1,
) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False)


def _norm(channels: int) -> nn.InstanceNorm2d:
    return nn.InstanceNorm2d(channels, affine=True)
