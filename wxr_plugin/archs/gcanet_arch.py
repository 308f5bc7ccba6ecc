"""GCANet (Chen et al., Gated Context Aggregation for Image Dehazing and Deraining, WACV 2019).

The authors state no licence; their README allows use for research. As in their code, the network
takes 8-bit levels minus 128 and a fourth channel of edges; for deraining it predicts the image, for
dehazing a residual that is added to it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

STRIDE = 4
DILATIONS = (2, 2, 2, 4, 4, 4, 1)
"""Dilations of the seven residual blocks."""
GATED = (4, 7)
"""Blocks whose results the gates weigh, in addition to the input of the first block."""


class SharedConv(nn.Module):
    """One filter for all channels, which smooths before dilated convolutions to avoid gridding."""

    def __init__(self, kernel: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, kernel, kernel))
        nn.init.dirac_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.weight.shape[-1]
        # The same filter for each channel, as a depthwise convolution.
        weight = self.weight.expand(channels, 1, kernel, kernel)
        return F.conv2d(x, weight, padding=kernel // 2, groups=channels)


class ResidualBlock(nn.Module):
    """Residual block of two dilated convolutions, each after a `SharedConv` if dilation > 1."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        for number in (1, 2):
            if dilation > 1:
                # The kernel covers the gaps between the taps of the dilated one.
                self.add_module(f"pre_conv{number}", SharedConv(2 * dilation - 1))
            self.add_module(f"conv{number}", _conv(width, width, dilation=dilation))
            self.add_module(f"norm{number}", _norm(width))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self._half(1, x))
        return F.relu(x + self._half(2, y))

    def _half(self, number: int, x: Tensor) -> Tensor:
        if hasattr(self, f"pre_conv{number}"):
            x = getattr(self, f"pre_conv{number}")(x)
        x = getattr(self, f"conv{number}")(x)
        return getattr(self, f"norm{number}")(x)


@register_arch
class GCANet(nn.Module):
    """GCANet with the authors' state-dict names, so that their weights load.

    Args:
        only_residual: the network predicts a residual that is added to the image (dehazing as
            published); False: it predicts the image (deraining as published).
        width: channels of the features.
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

        H and W are arbitrary; the result has the same shape and is not clamped. The authors resize
        images to multiples of 4; here they are extended right and below by reflection, and the
        result is cropped (our choice).
        """
        image = extended(lq, STRIDE) * 255
        # 8-bit levels and their edges, centred by 128 as published.
        restored = self.published(torch.cat((image, edges(image)), dim=1) - 128)
        if self.only_residual:
            restored = restored + image
        return cropped(restored, lq) / 255

    def published(self, x: Tensor) -> Tensor:
        """Run the authors' network on colours and edges (N, 4, H, W), each minus 128.

        H and W are even. Returns 8-bit levels (N, 3, H, W), of a residual or of the image.
        """
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        x = F.relu(self.norm3(self.conv3(x)))
        x = self._gated(x)
        x = F.relu(self.norm4(self.deconv3(x)))
        x = F.relu(self.norm5(self.deconv2(x)))
        x = self.deconv1(x)
        return x if self.only_residual else F.relu(x)

    def _gated(self, x: Tensor) -> Tensor:
        """Return the sum of the features of three depths, weighted by gates (N, 1, H, W)."""
        # Features before the first block and after the fourth and the seventh.
        features = [x]
        for number in range(1, len(DILATIONS) + 1):
            x = getattr(self, f"res{number}")(x)
            if number in GATED:
                features.append(x)
        gates = self.gate(torch.cat(features, dim=1)).split(1, dim=1)
        return sum(gate * feature for gate, feature in zip(gates, features))


def edges(image: Tensor) -> Tensor:
    """Return the edges (N, 1, H, W) of images (N, 3, H, W).

    An edge is the mean of the absolute differences to the left, right, upper and lower neighbours
    and over the colours; missing neighbours count 0.
    """
    across = image.diff(dim=-1).abs().mean(1, keepdim=True)
    down = image.diff(dim=-2).abs().mean(1, keepdim=True)
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
    return nn.Conv2d(
        inputs,
        outputs,
        3,
        stride,
        dilation,
        dilation,
        bias=False,
    )


def _norm(channels: int) -> nn.InstanceNorm2d:
    return nn.InstanceNorm2d(channels, affine=True)
