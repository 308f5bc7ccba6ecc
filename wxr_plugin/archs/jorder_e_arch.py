"""JORDER-E (Yang et al., Joint Rain Detection and Removal from a Single Image with Contextualized Deep Networks, IEEE
TPAMI 2020).

The authors' repository states no licence. Kept as they have it: the network works on levels of 8
bits as they are, not centred, and no activation stands between the two convolutions of an estimator
or of the decoder.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_arch

RANGE = 255
DILATIONS = (1, 1, 2, 2, 2, 4)
"""Of the six convolutions of a block: three paths of two."""
ESTIMATED = {"mask": 2, "level": 3}
"""What is known of the rain at every pixel, and its channels: whether there is some (two logits), and how much."""


@dataclass
class Pass:
    """What one pass gives: the restored image (N, 3, H, W), the features of its blocks, and the estimates."""

    image: Tensor
    features: list[Tensor]
    mask: Tensor
    level: Tensor


class ContextBlock(nn.Module):
    """Three paths of growing reach; the two wider ones count a tenth."""

    def __init__(self, width: int):
        super().__init__()
        for number, dilation in enumerate(DILATIONS, 1):
            self.add_module(
                f"conv{number}", nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
            )

    def forward(self, x: Tensor) -> Tensor:
        near = F.relu(self.conv2(F.relu(self.conv1(x))))
        far = F.relu(self.conv4(F.relu(self.conv3(x)))) + F.relu(self.conv6(F.relu(self.conv5(x))))
        return x + near + 0.1 * far


class Updater(nn.Module):
    """Context blocks one after another; those of a second pass add what their likes of the first gave."""

    def __init__(self, width: int, blocks: int):
        super().__init__()
        for number in range(1, blocks + 1):
            self.add_module(f"res{number}", ContextBlock(width))

    def forward(self, x: Tensor, before: list[Tensor] | None) -> list[Tensor]:
        features: list[Tensor] = []
        for block in self.children():
            x = block(x)
            features.append(x if before is None else x + before[len(features)])
            x = features[-1]
        return features


class Jorder(nn.Module):
    """One pass: features of the image, estimates of the rain from them, and the image from both."""

    def __init__(self, width: int, blocks: int):
        super().__init__()
        self.encoder = _conv(6, width)
        self.updater = Updater(width, blocks)
        for name, channels in ESTIMATED.items():
            self.add_module(f"{name}_estimator1", _conv(width, 8))
            self.add_module(f"{name}_estimator2", _conv(8, channels))
            for kind in "wb":
                self.add_module(f"{name}_F_{kind}_encoder1", _conv(channels, 16))
                self.add_module(f"{name}_F_{kind}_encoder2", _conv(16, width))
            weights = self.get_submodule(f"{name}_F_w_encoder2")
            nn.init.zeros_(weights.weight)
            nn.init.ones_(weights.bias)
        self.decoder = nn.Sequential(
            _conv(width, width),
            _conv(width, 3),
        )

    def forward(self, image: Tensor, before: Pass | None = None) -> Pass:
        last = image if before is None else before.image
        features = self.updater(
            self.encoder(torch.cat((image, last), dim=1)), before and before.features
        )
        estimates = [self._estimated(name, features[-1], before) for name in ESTIMATED]
        combined = self._combined(features[-1], *estimates)
        return Pass(self.decoder(combined) + image, features, *estimates)

    def _estimated(self, name: str, feature: Tensor, before: Pass | None) -> Tensor:
        estimate = getattr(self, f"{name}_estimator2")(getattr(self, f"{name}_estimator1")(feature))
        return estimate if before is None else estimate + getattr(before, name)

    def _combined(self, feature: Tensor, *estimates: Tensor) -> Tensor:
        shifted = scaled = feature
        for name, estimate in zip(ESTIMATED, estimates):
            shifted = shifted + self._encoded(f"{name}_F_b", estimate)
            scaled = scaled * self._encoded(f"{name}_F_w", estimate)
        return shifted + scaled

    def _encoded(self, name: str, estimate: Tensor) -> Tensor:
        return getattr(self, f"{name}_encoder2")(
            F.relu(getattr(self, f"{name}_encoder1")(estimate))
        )


@register_arch
class JORDER_E(nn.Module):
    """JORDER-E: two passes over the rainy image, the second with all that the first found.

    State-dict names are those of the authors' code.

    Args:
        width: channels of the features: 64; 32 in the authors' practical network, whose weights
            they publish.
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
        """The authors' network on images in [0, 255]: the restored ones, those of the first pass, the logits of the
        rain mask (N, 2, H, W) and the level of the rain (N, 3, H, W)."""
        first = self.jorder1(x)
        second = self.jorder2(x, first)
        return second.image, first.image, second.mask, second.level


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
