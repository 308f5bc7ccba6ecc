"""DeblurGAN-v2's generator (Kupyn et al., Deblurring Faster and Better, ICCV 2019).

The authors' licence is a BSD licence. Peculiarities of their code are kept: the trunk's parameters
appear twice in the state dict, including unused ones behind its last step; images are normalised
by their own statistics, also after training; and images are extended by at least one grey row and
column.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.archs.deblurgan_arch import ImageNorm
from wxr_plugin.archs.deblurganv2_trunks import Trunk, inception, mobilenet
from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

STRIDE = 32
TRUNKS = {"inception": (inception, 256), "mobilenet": (mobilenet, 128)}
"""Builder of each trunk, and the channels of its pyramid."""


class FPN(nn.Module):
    """Feature pyramid: the features of five steps of a trunk, with those of deeper steps added."""

    def __init__(self, trunk: Trunk, width: int):
        super().__init__()
        self.borders = trunk.borders
        self.add_module(trunk.name, trunk.network)
        for number, (step, channels) in enumerate(zip(trunk.steps, trunk.widths)):
            outputs = width if number else width // 2
            self.add_module(f"enc{number}", step)
            self.add_module(f"lateral{number}", nn.Conv2d(channels, outputs, 1, bias=False))
        self.td1 = _smooth(width, width)
        self.td2 = _smooth(width, width)
        self.td3 = _smooth(width, width)
        for part in trunk.unused:
            part.requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size of `x` (N, 3, H, W)."""
        maps = []
        for number, (before, after) in enumerate(self.borders):
            x = getattr(self, f"enc{number}")(x)
            lateral = getattr(self, f"lateral{number}")(x)
            # Convolutions of the trunk without padding lose borders; reflection restores the size.
            maps.append(F.pad(lateral, (before, after, before, after), mode="reflect"))
        for number, smooth in zip((3, 2, 1), (self.td1, self.td2, self.td3)):
            maps[number] = smooth(maps[number] + _raised(maps[number + 1], 2))
        return maps


class FPNHead(nn.Module):
    """Two convolutions on one map of the pyramid."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.block0 = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.block1 = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.block0(x))
        return F.relu(self.block1(x))


@register_arch
class DeblurGANv2(nn.Module):
    """DeblurGAN-v2's generator, with the authors' state-dict names, so that their weights load.

    Parameters of the trunk that do not affect the result are frozen. Pretrained weights of the
    trunk are not downloaded; the authors' files contain the weights of the whole network.

    Args:
        trunk: 'inception' (Inception-ResNet-v2) or 'mobilenet' (MobileNetV2).
    """

    smoke = {"trunk": "mobilenet"}
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(self, trunk: str = "inception"):
        super().__init__()
        if trunk not in TRUNKS:
            raise ValueError(f"DeblurGANv2: trunk is {trunk!r}; take {' or '.join(TRUNKS)}")
        build, pyramid = TRUNKS[trunk]
        built = build()
        width = pyramid // 2
        self.smallest = built.smallest
        self.fpn = FPN(built, pyramid)
        for number in range(1, 5):
            self.add_module(f"head{number}", FPNHead(pyramid, width))
        self.smooth = _smooth(4 * width, width)
        self.smooth2 = _smooth(width, width // 2)
        self.final = nn.Conv2d(width // 2, 3, 3, padding=1)

    def train(self, mode: bool = True) -> "DeblurGANv2":
        """Set the mode; batch norm uses batch statistics in both modes."""
        super().train(mode)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.train()
                # Running statistics are updated in training only, and never used.
                layer.track_running_stats = mode
        return self

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1], for any H and W.

        The result has the same shape and range. Images are extended right and below, in grey, to
        the next larger multiples of 32, as published; sides below 128 (mobilenet: 64) to that size
        (our choice). In evaluation images are restored one by one, since the trunk normalises by
        the statistics of the batch.
        """
        # 0 is grey in [-1, 1]; the authors always add a row and a column.
        image = F.pad(2 * lq - 1, (0, 1, 0, 1))
        x = extended(image, STRIDE, self.smallest, mode="constant")
        if self.training:
            restored = self.published(x)
        else:
            restored = torch.cat([self.published(image) for image in x.split(1)])
        return cropped(restored, lq) / 2 + 0.5

    def published(self, x: Tensor) -> Tensor:
        """Run the authors' network: images (N, 3, H, W) in [-1, 1] to restored ones in [-1, 1].

        H and W are multiples of 32 and at least `smallest`.
        """
        finest, *maps = self.fpn(x)
        heads = (getattr(self, f"head{number}")(feature) for number, feature in enumerate(maps, 1))
        # All four at 1/4 of the size, the coarsest first.
        raised = [_raised(head, 2**level) for level, head in enumerate(heads)]
        y = self.smooth(torch.cat(raised[::-1], dim=1))
        y = self.smooth2(_raised(y, 2) + finest)
        residual = torch.tanh(self.final(_raised(y, 2)))
        return (residual + x).clamp(-1, 1)


def _smooth(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        ImageNorm(outputs, stored=True),
        nn.ReLU(),
    )


def _raised(x: Tensor, times: int) -> Tensor:
    return F.interpolate(x, scale_factor=times, mode="nearest")
