"""JORDER-E (Yang et al., Joint Rain Detection and Removal from a Single Image, TPAMI 2020).

The authors' repository states no licence. As in their code, the network works on 8-bit levels,
which are not centred, and the two convolutions of an estimator or of the decoder have no activation
between them.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_arch

RANGE = 255
DILATIONS = (1, 1, 2, 2, 2, 4)
"""Dilations of the six convolutions of a block: three paths of two."""
ESTIMATED = {"mask": 2, "level": 3}
"""Channels of the estimates: logits of no rain and rain at a pixel, and the rain's intensity."""


@dataclass
class Pass:
    """Results of one pass."""

    image: Tensor
    """Restored images (N, 3, H, W)."""
    features: list[Tensor]
    """Features (N, width, H, W) of each context block."""
    mask: Tensor
    """Logits (N, 2, H, W) of the rain mask."""
    level: Tensor
    """Intensity (N, 3, H, W) of the rain."""


class ContextBlock(nn.Module):
    """Three paths of growing receptive field, added to the input; the two wider ones weigh 0.1."""

    def __init__(self, width: int):
        super().__init__()
        for number, dilation in enumerate(DILATIONS, 1):
            conv = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
            self.add_module(f"conv{number}", conv)

    def forward(self, x: Tensor) -> Tensor:
        near = self._path(x, self.conv1, self.conv2)
        middle = self._path(x, self.conv3, self.conv4)
        far = self._path(x, self.conv5, self.conv6)
        return x + near + 0.1 * (middle + far)

    def _path(self, x: Tensor, first: nn.Conv2d, second: nn.Conv2d) -> Tensor:
        x = F.relu(first(x))
        return F.relu(second(x))


class Updater(nn.Module):
    """Chain of context blocks; in a second pass each adds the features of its peer in the first."""

    def __init__(self, width: int, blocks: int):
        super().__init__()
        for number in range(1, blocks + 1):
            self.add_module(f"res{number}", ContextBlock(width))

    def forward(self, x: Tensor, before: list[Tensor] | None) -> list[Tensor]:
        features: list[Tensor] = []
        for block in self.children():
            x = block(x)
            if before is not None:
                x = x + before[len(features)]
            features.append(x)
        return features


class Jorder(nn.Module):
    """One pass: image features, rain estimates from these features, and the image from both."""

    def __init__(self, width: int, blocks: int):
        super().__init__()
        self.encoder = _conv(6, width)
        self.updater = Updater(width, blocks)
        for name, channels in ESTIMATED.items():
            self.add_module(f"{name}_estimator1", _conv(width, 8))
            self.add_module(f"{name}_estimator2", _conv(8, channels))
            # Each estimate is encoded twice: as a factor (w) and as an offset (b) of the features.
            for role in "wb":
                self.add_module(f"{name}_F_{role}_encoder1", _conv(channels, 16))
                self.add_module(f"{name}_F_{role}_encoder2", _conv(16, width))
            # The factors start at 1.
            weights = self.get_submodule(f"{name}_F_w_encoder2")
            nn.init.zeros_(weights.weight)
            nn.init.ones_(weights.bias)
        self.decoder = nn.Sequential(
            _conv(width, width),
            _conv(width, 3),
        )

    def forward(self, image: Tensor, before: Pass | None = None) -> Pass:
        last = image if before is None else before.image
        # The first pass takes the rainy image twice, the second also the first one's result.
        x = self.encoder(torch.cat((image, last), dim=1))
        features = self.updater(x, before and before.features)
        estimates = [self._estimated(name, features[-1], before) for name in ESTIMATED]
        combined = self._combined(features[-1], *estimates)
        return Pass(self.decoder(combined) + image, features, *estimates)

    def _estimated(self, name: str, feature: Tensor, before: Pass | None) -> Tensor:
        hidden = getattr(self, f"{name}_estimator1")(feature)
        estimate = getattr(self, f"{name}_estimator2")(hidden)
        if before is None:
            return estimate
        return estimate + getattr(before, name)

    def _combined(self, feature: Tensor, *estimates: Tensor) -> Tensor:
        shifted = scaled = feature
        for name, estimate in zip(ESTIMATED, estimates):
            shifted = shifted + self._encoded(f"{name}_F_b", estimate)
            scaled = scaled * self._encoded(f"{name}_F_w", estimate)
        return shifted + scaled

    def _encoded(self, name: str, estimate: Tensor) -> Tensor:
        hidden = getattr(self, f"{name}_encoder1")(estimate)
        return getattr(self, f"{name}_encoder2")(F.relu(hidden))


@register_arch
class JORDER_E(nn.Module):
    """JORDER-E: two passes over the rainy image, the second with all results of the first.

    State-dict names are those of the authors' code.

    Args:
        width: channels of the features: 64; 32 in the authors' practical network, the one whose
            weights they publish.
        blocks: context blocks of a pass: 9; 3 in the practical network.
    """

    smoke = {"width": 8, "blocks": 1}
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(self, width: int = 64, blocks: int = 9):
        super().__init__()
        self.jorder1 = Jorder(width, blocks)
        self.jorder2 = Jorder(width, blocks)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped.
        """
        return self.published(lq * RANGE)[0] / RANGE

    def published(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Run the authors' network on images (N, 3, H, W) in [0, 255].

        Returns the restored images, those of the first pass, the logits of the rain mask
        (N, 2, H, W) and the intensity of the rain (N, 3, H, W).
        """
        first = self.jorder1(x)
        second = self.jorder2(x, first)
        return second.image, first.image, second.mask, second.level


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
