"""EnlightenGAN's generator (Jiang et al., Light Enhancement without Paired Supervision, TIP 2021).

The authors' licence is BSD-2-Clause. The darkness of every pixel guides the network: as a fourth
channel, as a weight of the skip connections, and as a weight of the predicted residual. As in the
authors' code, batch normalisation follows the activation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

LEVELS = 5
STRIDE = 2 ** (LEVELS - 1)
LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luminance (BT.601)."""


@register_arch
class EnlightenGAN(nn.Module):
    """EnlightenGAN's generator with the authors' state-dict names, so that their weights load.

    Args:
        width: channels at full size; doubles with each of the four halvings.
        halved_above: images wider than this are halved before and enlarged after, as the authors do
            to save memory; 0: never.
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
            up = nn.Conv2d(2 * outputs, outputs, 3, padding=1)
            self.add_module(f"deconv{number - 1}", up)
            self._add_layer(f"{number}_1", 2 * outputs, outputs)
            self._add_layer(f"{number}_2", outputs, outputs)
        # The authors' last layer has no batch normalisation.
        del self.bn9_2
        self.conv10 = nn.Conv2d(width, 3, 1)

    def _add_layer(self, name: str, inputs: int, outputs: int) -> None:
        self.add_module(f"conv{name}", nn.Conv2d(inputs, outputs, 3, padding=1))
        self.add_module(f"bn{name}", nn.BatchNorm2d(outputs))

    def forward(self, lq: Tensor) -> Tensor:
        """Brighten RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped. Sides that are not
        a multiple of 16 are extended at both ends by reflection and the result is cropped, as
        published; images that are too small for this at one end, by reflection or repetition (our
        choice).
        """
        if not self.halved_above or lq.shape[-1] <= self.halved_above:
            return self._restored(lq)
        half = F.avg_pool2d(lq, 2, ceil_mode=True)
        restored = self._restored(half)
        # Odd sides were rounded up by `ceil_mode`, so the result is cropped.
        restored = F.interpolate(restored, scale_factor=2, mode="bilinear")
        return cropped(restored, lq)

    def _restored(self, lq: Tensor) -> Tensor:
        height, width = lq.shape[-2:]
        borders = _borders(lq)
        left, right, top, below = borders
        if right >= width or below >= height:
            return cropped(self._restored_aligned(extended(lq, STRIDE)), lq)
        restored = self._restored_aligned(F.pad(lq, borders, mode="reflect"))
        return restored[..., top : top + height, left : left + width]

    def _restored_aligned(self, lq: Tensor) -> Tensor:
        """Restore images whose sides are multiples of 16."""
        weights = lq.new_tensor(LUMINANCE)[:, None, None]
        luminance = (lq * weights).sum(1, keepdim=True)
        dark = 1 - luminance
        restored, _ = self.published(2 * lq - 1, dark)
        return restored / 2 + 0.5

    def published(self, x: Tensor, dark: Tensor) -> tuple[Tensor, Tensor]:
        """Run the authors' network on images (N, 3, H, W) in [-1, 1], H and W multiples of 16.

        `dark` (N, 1, H, W) is their darkness in [0, 1]. Returns the brightened images and the
        residual that was added to them.
        """
        # The darkness at the size of each level, full size first.
        darkness = [dark]
        for _ in range(LEVELS - 1):
            darkness.append(F.max_pool2d(darkness[-1], 2))
        skips = []
        y = torch.cat((x, dark), dim=1)
        for number in range(1, LEVELS):
            y = self._layer(f"{number}_1", y)
            y = self._layer(f"{number}_2", y)
            skips.append(y)
            y = F.max_pool2d(y, 2)
        y = self._layer("5_1", y) * darkness.pop()
        y = self._layer("5_2", y)
        for number in range(LEVELS + 1, 2 * LEVELS):
            # Self-regularised attention: dark regions take more of the skip.
            skip = skips.pop() * darkness.pop()
            y = self._raised(number, y, skip)
        added = self.conv10(y) * dark
        return x + added, added

    def _raised(self, number: int, y: Tensor, skip: Tensor) -> Tensor:
        y = F.interpolate(y, scale_factor=2, mode="bilinear")
        y = getattr(self, f"deconv{number - 1}")(y)
        y = torch.cat((y, skip), dim=1)
        y = self._layer(f"{number}_1", y)
        return self._layer(f"{number}_2", y)

    def _layer(self, name: str, x: Tensor) -> Tensor:
        x = getattr(self, f"conv{name}")(x)
        x = F.leaky_relu(x, 0.2)
        if not hasattr(self, f"bn{name}"):
            return x
        return getattr(self, f"bn{name}")(x)


def _borders(image: Tensor) -> tuple[int, int, int, int]:
    """Return the padding of `image` to multiples of 16: left, right, above and below.

    An odd pixel goes right or below.
    """
    columns = -image.shape[-1] % STRIDE
    rows = -image.shape[-2] % STRIDE
    left = columns // 2
    above = rows // 2
    return left, columns - left, above, rows - above
