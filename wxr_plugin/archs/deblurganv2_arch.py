"""DeblurGAN-v2 (Kupyn et al., Deblurring (Orders-of-Magnitude) Faster and Better, ICCV 2019): its generator.

The authors' licence is of the BSD kind. Kept as they have it: the trunk's parameters stand twice in
the state dict, and those behind its last step with no use; images are normalised by their own
statistics, also after training; and they are extended by at least one row and column, in grey.
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
"""How each is built, and the channels of its pyramid."""


class FPN(nn.Module):
    """Features of five steps of a trunk, each with what the deeper ones say added."""

    def __init__(self, trunk: Trunk, width: int):
        super().__init__()
        self.borders = trunk.borders
        self.add_module(trunk.name, trunk.network)
        for number, (step, channels) in enumerate(zip(trunk.steps, trunk.widths)):
            self.add_module(f"enc{number}", step)
            self.add_module(
                f"lateral{number}",
                nn.Conv2d(channels, width if number else width // 2, 1, bias=False),
            )
        self.td1, self.td2, self.td3 = (_smooth(width, width) for _ in range(3))
        for part in trunk.unused:
            part.requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size."""
        maps = []
        for number, (before, after) in enumerate(self.borders):
            x = getattr(self, f"enc{number}")(x)
            lateral = getattr(self, f"lateral{number}")(x)
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
        return F.relu(self.block1(F.relu(self.block0(x))))


@register_arch
class DeblurGANv2(nn.Module):
    """DeblurGAN-v2's generator, with the authors' state-dict names, so that their weights load.

    Parameters of the trunk that take no part in the result need no gradient. Its weights for
    classification are not
    fetched: those of the authors' files hold them.

    Args:
        trunk: 'inception' (Inception-ResNet-v2) or 'mobilenet' (MobileNetV2).
    """

    smoke = {"trunk": "mobilenet"}
    """Arguments of a quick instance, for the tests that walk all networks."""

    def __init__(self, trunk: str = "inception"):
        super().__init__()
        if trunk not in TRUNKS:
            raise ValueError(f"DeblurGANv2: trunk is {trunk!r}; take {' or '.join(TRUNKS)}")
        build, pyramid = TRUNKS[trunk]
        built, width = build(), pyramid // 2
        self.smallest = built.smallest
        self.fpn = FPN(built, pyramid)
        for number in range(1, 5):
            self.add_module(f"head{number}", FPNHead(pyramid, width))
        self.smooth, self.smooth2 = _smooth(4 * width, width), _smooth(width, width // 2)
        self.final = nn.Conv2d(width // 2, 3, 3, padding=1)

    def train(self, mode: bool = True) -> "DeblurGANv2":
        """As of any network; but batch normalisation never uses running statistics, and only training updates them."""
        super().train(mode)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.train()
                layer.track_running_stats = mode
        return self

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images (N, 3, H, W) in [0, 1], any H and W; the result is of that size, in [0, 1].

        Images are extended right and below, in grey, to the next larger multiples of 32, as
        published; those below 128 (mobilenet: 64) to that size (our choice). Outside of training
        they are restored one by one, since the trunk normalises by the statistics of what it gets.
        """
        x = extended(F.pad(2 * lq - 1, (0, 1, 0, 1)), STRIDE, self.smallest, mode="constant")
        restored = (
            self.published(x)
            if self.training
            else torch.cat([self.published(image) for image in x.split(1)])
        )
        return cropped(restored, lq) / 2 + 0.5

    def published(self, x: Tensor) -> Tensor:
        """The authors' network: images in [-1, 1] of sides that are multiples of 32 and no smaller than those of
        `forward`, to the same."""
        finest, *maps = self.fpn(x)
        heads = (getattr(self, f"head{number}")(feature) for number, feature in enumerate(maps, 1))
        raised = [_raised(head, 2**level) for level, head in enumerate(heads)]
        y = self.smooth2(_raised(self.smooth(torch.cat(raised[::-1], dim=1)), 2) + finest)
        return (torch.tanh(self.final(_raised(y, 2))) + x).clamp(-1, 1)


def _smooth(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), ImageNorm(outputs, stored=True), nn.ReLU()
    )


def _raised(x: Tensor, times: int) -> Tensor:
    return F.interpolate(x, scale_factor=times, mode="nearest")
