"""EnlightenGAN (Jiang et al., Deep Light Enhancement without Paired Supervision, IEEE TIP 2021): its generator.

The authors' licence is BSD-2-Clause. The darkness of every pixel guides it: as a fourth channel, as
a weight of the features that its two halves share, and of what is added to the image. Kept as the
authors have it: layers with their batch normalisation after the activation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

LEVELS = 5
STRIDE = 2 ** (LEVELS - 1)
LUMINANCE = (0.299, 0.587, 0.114)


@register_arch
class EnlightenGAN(nn.Module):
    """EnlightenGAN's generator with the authors' state-dict names, so that their weights load.

    Args:
        width: channels at full size; doubles with each of the four halvings.
        halved_above: images wider than this are halved before and enlarged after, as the authors do
            to save memory;
            0: never.
    """

    smoke = {"width": 4}
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(self, width: int = 32, halved_above: int = 2200):
        super().__init__()
        self.halved_above = halved_above
        widths = [width << level for level in range(LEVELS)]
        for number, (inputs, outputs) in enumerate(zip([4, *widths], widths), 1):
            self._add_layer(f"{number}_1", inputs, outputs)
            self._add_layer(f"{number}_2", outputs, outputs)
        for number, outputs in enumerate(reversed(widths[:-1]), LEVELS + 1):
            self.add_module(f"deconv{number - 1}", nn.Conv2d(2 * outputs, outputs, 3, padding=1))
            self._add_layer(f"{number}_1", 2 * outputs, outputs)
            self._add_layer(f"{number}_2", outputs, outputs)
        del self.bn9_2
        self.conv10 = nn.Conv2d(width, 3, 1)

    def _add_layer(self, name: str, inputs: int, outputs: int) -> None:
        self.add_module(f"conv{name}", nn.Conv2d(inputs, outputs, 3, padding=1))
        self.add_module(f"bn{name}", nn.BatchNorm2d(outputs))

    def forward(self, lq: Tensor) -> Tensor:
        """Brighten RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped.
        Sides that are no multiple of 16 are extended at both ends by reflection and the result is
        cropped, as published; images that are too small for it at one end, by reflection or
        repetition (our choice).
        """
        if self.halved_above and lq.shape[-1] > self.halved_above:
            small = self._restored(F.avg_pool2d(lq, 2, ceil_mode=True))
            return cropped(F.interpolate(small, scale_factor=2, mode="bilinear"), lq)
        return self._restored(lq)

    def _restored(self, lq: Tensor) -> Tensor:
        height, width = lq.shape[-2:]
        left, right, top, below = borders = _borders(lq)
        if right >= width or below >= height:
            return cropped(self._on_the_grid(extended(lq, STRIDE)), lq)
        restored = self._on_the_grid(F.pad(lq, borders, mode="reflect"))
        return restored[..., top : top + height, left : left + width]

    def _on_the_grid(self, lq: Tensor) -> Tensor:
        weights = lq.new_tensor(LUMINANCE)[:, None, None]
        dark = 1 - (lq * weights).sum(1, keepdim=True)
        return self.published(2 * lq - 1, dark)[0] / 2 + 0.5

    def published(self, x: Tensor, dark: Tensor) -> tuple[Tensor, Tensor]:
        """The authors' network on images in [-1, 1] and their darkness (N, 1, H, W) in [0, 1], of sides that are
        multiples of 16: the brightened images, and what was added to them."""
        darkness = [dark]
        for _ in range(LEVELS - 1):
            darkness.append(F.max_pool2d(darkness[-1], 2))
        skips = []
        y = torch.cat((x, dark), dim=1)
        for number in range(1, LEVELS):
            skips.append(self._layer(f"{number}_2", self._layer(f"{number}_1", y)))
            y = F.max_pool2d(skips[-1], 2)
        y = self._layer("5_2", self._layer("5_1", y) * darkness.pop())
        for number in range(LEVELS + 1, 2 * LEVELS):
            y = self._raised(number, y, skips.pop() * darkness.pop())
        added = self.conv10(y) * dark
        return x + added, added

    def _raised(self, number: int, y: Tensor, skip: Tensor) -> Tensor:
        y = F.interpolate(y, scale_factor=2, mode="bilinear")
        y = torch.cat((getattr(self, f"deconv{number - 1}")(y), skip), dim=1)
        return self._layer(f"{number}_2", self._layer(f"{number}_1", y))

    def _layer(self, name: str, x: Tensor) -> Tensor:
        x = F.leaky_relu(getattr(self, f"conv{name}")(x), 0.2)
        return getattr(self, f"bn{name}")(x) if hasattr(self, f"bn{name}") else x


def _borders(image: Tensor) -> tuple[int, int, int, int]:
    """What `image` lacks of multiples of 16: left, right, above, below; the odd pixel right and below."""
    right, below = (-side % STRIDE for side in (image.shape[-1], image.shape[-2]))
    return right // 2, right - right // 2, below // 2, below - below // 2
