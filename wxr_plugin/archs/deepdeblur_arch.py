"""DeepDeblur (Nah et al., Multi-scale CNN for Dynamic Scene Deblurring, CVPR 2017).

The authors' PyTorch code and weights are under the MIT licence. As in their code, the network works
on 8-bit levels minus 127.5, and each level of the pyramid is smoothed by a Gaussian before it is
halved.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

RANGE = 255
SIGMA = 2 / 3
"""Standard deviation of the Gaussian in pixels: a third of the factor of two."""
REACH = 3
"""Radius of the Gaussian in pixels: 4 sigma, rounded."""
# On the CPU, also where this module is imported for a network on torch's meta device.
_DISTANCES = torch.arange(-REACH, REACH + 1.0, device="cpu") / SIGMA
GAUSSIAN = torch.softmax(-0.5 * _DISTANCES**2, dim=0).tolist()
"""exp(-d^2 / 2), normalised to a sum of 1."""


class ResidualBlock(nn.Module):
    """Two convolutions and the input, with no normalisation."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(
            _conv(width, width),
            nn.ReLU(),
            _conv(width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + x


class Scale(nn.Module):
    """The network of one level of the pyramid."""

    def __init__(
        self,
        inputs: int,
        width: int,
        blocks: int,
    ):
        super().__init__()
        self.body = nn.Sequential(
            _conv(inputs, width),
            *(ResidualBlock(width) for _ in range(blocks)),
            _conv(width, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class UpSample(nn.Module):
    """Enlargement of a level's image to twice the size, as second input of the next finer level."""

    def __init__(self):
        super().__init__()
        self.uppath = nn.Sequential(
            _conv(3, 12),
            nn.PixelShuffle(2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.uppath(x)


@register_arch
class DeepDeblur(nn.Module):
    """Residual networks for a pyramid; each takes the blurred image and the coarser restored one.

    State-dict names are those of the authors' PyTorch code.

    Args:
        scales: levels of the pyramid.
        blocks: residual blocks of each level.
        width: channels of the features.
    """

    smoke = {
        "scales": 2,
        "blocks": 1,
        "width": 8,
    }
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(
        self,
        scales: int = 3,
        blocks: int = 19,
        width: int = 64,
    ):
        super().__init__()
        self.scales = scales
        # The coarsest level, the last, has no restored image to take.
        inputs = [6] * (scales - 1) + [3]
        self.body_models = nn.ModuleList(Scale(channels, width, blocks) for channels in inputs)
        self.conv_end_models = nn.ModuleDict({str(scale): UpSample() for scale in range(1, scales)})

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped. Sides that are not
        a multiple of 2 ** (scales - 1) are extended right and below by repetition and the result is
        cropped, as published.
        """
        image = extended(lq, 2 ** (self.scales - 1), mode="replicate") * RANGE
        restored = self.published(pyramid(image, self.scales))
        return cropped(restored[0], lq) / RANGE

    def published(self, images: list[Tensor]) -> list[Tensor]:
        """Run the authors' network on a pyramid of images in [0, 255]; return the restored pyramid.

        Each image (N, 3, H, W) has half the size of the one before.
        """
        centred = [image - RANGE / 2 for image in images]
        restored = [self.body_models[-1](centred[-1])]
        for scale in reversed(range(self.scales - 1)):
            raised = self.conv_end_models[str(scale + 1)](restored[0])
            both = torch.cat((centred[scale], raised), dim=1)
            restored.insert(0, self.body_models[scale](both))
        return [image + RANGE / 2 for image in restored]


def pyramid(image: Tensor, scales: int) -> list[Tensor]:
    """Return `scales` images (N, C, H, W), `image` first, each smoothed and half the one before.

    The values are those of scikit-image's pyramid_gaussian. H and W are multiples of
    2 ** (scales - 1).
    """
    images = [image]
    for _ in range(scales - 1):
        smooth = _smoothed(_smoothed(images[-1]).mT).mT
        images.append(F.avg_pool2d(smooth, 2))
    return images


def _smoothed(x: Tensor) -> Tensor:
    """Smooth the rows by a Gaussian; borders are mirrored, the last pixel included."""
    width = x.shape[-1]
    padded = _mirrored(x, REACH)
    shifted = [padded[..., start : start + width] for start in range(len(GAUSSIAN))]
    return sum(weight * pixels for weight, pixels in zip(GAUSSIAN, shifted))


def _mirrored(x: Tensor, margin: int) -> Tensor:
    """Return `x` (N, C, H, W) with `margin` mirrored pixels on either side of each row."""
    width = x.shape[-1]
    # Slices in place of an index, which exported graphs cannot make of a size.
    if width >= margin:
        left = x[..., :margin].flip(-1)
        right = x[..., width - margin :].flip(-1)
        return torch.cat((left, x, right), dim=-1)
    # Mirroring has the period 2 width: 0 1 2 2 1 0 0 1 2 ... for a width of 3.
    places = torch.arange(-margin, width + margin, device=x.device) % (2 * width)
    return x[..., torch.minimum(places, 2 * width - 1 - places)]


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 5, padding=2)
