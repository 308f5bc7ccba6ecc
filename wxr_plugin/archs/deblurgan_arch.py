"""DeblurGAN's generator (Kupyn et al., Blind Motion Deblurring Using Conditional GANs, CVPR 2018).

The authors' licence is a BSD licence. Two peculiarities of their code are kept: every image is
normalised by its own statistics, also after training; and since 2019 a block has, by the precedence
of the operators in their code, only one convolution.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

STRIDE = 4
SMALLEST = 8
"""Smallest side: a quarter of it has 2x2 pixels; statistics of a single pixel do not exist."""


class ImageNorm(nn.Module):
    """Instance normalisation by the image's own statistics, in training and in evaluation.

    Args:
        channels: channels of the input.
        stored: hold the running statistics of the authors' files; nothing reads or updates them.
    """

    def __init__(self, channels: int, stored: bool):
        super().__init__()
        if stored:
            self.register_buffer("running_mean", torch.zeros(channels))
            self.register_buffer("running_var", torch.ones(channels))
            self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        return F.instance_norm(x)


class ResidualBlock(nn.Module):
    """Residual block of one or two convolutions with reflected borders, dropout after the first."""

    def __init__(
        self,
        width: int,
        convolutions: int,
        stored: bool,
        dropout: float,
    ):
        super().__init__()
        layers = [*_reflected(width, width, 3, stored), nn.ReLU(), nn.Dropout(dropout)]
        if convolutions == 2:
            layers += _reflected(width, width, 3, stored)
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


@register_arch
class DeblurGAN(nn.Module):
    """DeblurGAN's generator, with the authors' state-dict names, so that their weights load.

    Args:
        layout: '2018', the authors' code when their weights appeared: two convolutions in a block;
            '2019': one, and files hold statistics that nothing reads.
        blocks: residual blocks.
        width: channels at full size; doubles with each of the two halvings.
        dropout: share of features that training leaves out in every block.
    """

    smoke = {"blocks": 1, "width": 8}
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(
        self,
        layout: str = "2018",
        blocks: int = 9,
        width: int = 64,
        dropout: float = 0.5,
    ):
        super().__init__()
        if layout not in ("2018", "2019"):
            raise ValueError(
                f"DeblurGAN: layout is {layout!r}; take '2018' or '2019', with the quotes"
            )
        # Files of 2019 hold running statistics, and their blocks have one convolution.
        stored = layout == "2019"
        middle = (
            ResidualBlock(4 * width, 1 if stored else 2, stored, dropout) for _ in range(blocks)
        )
        self.model = nn.Sequential(
            *_reflected(3, width, 7, stored),
            nn.ReLU(),
            *_halved(width, stored),
            *_halved(2 * width, stored),
            *middle,
            *_doubled(4 * width, stored),
            *_doubled(2 * width, stored),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, 3, 7),
            nn.Tanh(),
        )

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1], for any H and W.

        The result has the same shape and range. Sides that are not a multiple of 4 (or below 8) are
        extended right and below by reflection, or by repetition where the image is too small for
        it, and the result is cropped (our choice). Dropout acts in training only, while the
        authors' test script leaves it on (our choice).
        """
        # [0, 1] -> [-1, 1] and back.
        image = 2 * extended(lq, STRIDE, SMALLEST) - 1
        return cropped(self.published(image), lq) / 2 + 0.5

    def published(self, x: Tensor) -> Tensor:
        """Run the authors' network: images (N, 3, H, W) in [-1, 1] to restored ones in [-1, 1].

        H and W are multiples of 4 and at least 8.
        """
        # The generator predicts a residual.
        return (x + self.model(x)).clamp(-1, 1)


def _reflected(
    inputs: int,
    outputs: int,
    kernel: int,
    stored: bool,
) -> list[nn.Module]:
    return [
        nn.ReflectionPad2d(kernel // 2),
        nn.Conv2d(inputs, outputs, kernel),
        ImageNorm(outputs, stored),
    ]


def _halved(width: int, stored: bool) -> list[nn.Module]:
    return [
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        ImageNorm(2 * width, stored),
        nn.ReLU(),
    ]


def _doubled(width: int, stored: bool) -> list[nn.Module]:
    conv = nn.ConvTranspose2d(
        width,
        width // 2,
        3,
        stride=2,
        padding=1,
        output_padding=1,
    )
    return [conv, ImageNorm(width // 2, stored), nn.ReLU()]
