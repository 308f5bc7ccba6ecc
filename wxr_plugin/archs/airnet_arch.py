"""AirNet (Li et al., All-In-One Image Restoration for Unknown Corruption, CVPR 2022).

An encoder describes the degradation at every pixel; this description moves and modulates the taps
of the restorer's convolutions. State-dict names are those of the authors' code, so that their
weights load; they state no licence.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from wxr_plugin.registry import register_arch

SLOPE = 0.1
"""Negative slope of all leaky ReLUs."""
QUEUE_OF_TASK = 256
"""Entries that the authors' MoCo queue holds for each degradation."""


class EncoderBlock(nn.Module):
    """Two normalised 3x3 convolutions in parallel with a 1x1 shortcut, summed."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
    ):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(
                inputs,
                outputs,
                3,
                stride,
                1,
                bias=False,
            ),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.backbone(x) + self.shortcut(x), SLOPE)


class DegradationEncoder(nn.Module):
    """Encoder of the degradation.

    It returns the vector (N, 4 width) of the authors' contrastive loss and the map (N, width, H, W)
    that steers the restorer, `fea` and `inter` in their code.
    """

    def __init__(self, width: int):
        super().__init__()
        self.E_pre = EncoderBlock(3, width, 1)
        self.E = nn.Sequential(
            EncoderBlock(width, 2 * width, 2),
            EncoderBlock(2 * width, 4 * width, 2),
            nn.AdaptiveAvgPool2d(1),
        )
        self.mlp = nn.Sequential(
            nn.Linear(4 * width, 4 * width),
            nn.LeakyReLU(SLOPE),
            nn.Linear(4 * width, 4 * width),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        inter = self.E_pre(x)
        return self.E(inter).flatten(1), inter


class Contrast(nn.Module):
    """State of MoCo: the trained encoder, its slow copy and a queue of embeddings.

    Only the trained encoder takes part in restoring.
    """

    def __init__(self, width: int, tasks: int):
        super().__init__()
        self.encoder_q = DegradationEncoder(width)
        self.encoder_k = DegradationEncoder(width)
        self.register_buffer("queue", torch.zeros(4 * width, QUEUE_OF_TASK * tasks))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))


class ModulatedDeformConv(nn.Module):
    """Deformable 3x3 convolution with predicted offsets and tap weights."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        # 9 taps with two offsets and one weight each: 18 + 9 channels.
        self.conv_offset_mask = nn.Conv2d(2 * width, 27, 3, padding=1)
        nn.init.zeros_(self.conv_offset_mask.weight)
        nn.init.zeros_(self.conv_offset_mask.bias)

    def forward(self, x: Tensor, inter: Tensor) -> Tensor:
        # The operator needs one dtype for all arguments, which autocast does not ensure.
        dtype = self.weight.dtype
        predicted = self.conv_offset_mask(torch.cat((x, inter), 1)).to(dtype)
        offset, mask = predicted.split((18, 9), 1)
        # The operator reads memory at random where an offset is NaN. The mask is NaN there too, so
        # the result still is.
        offset = offset.nan_to_num(nan=0.0)
        return deform_conv2d(
            x.to(dtype),
            offset,
            self.weight,
            padding=1,
            mask=mask.sigmoid(),
        )


class Modulation(nn.Module):
    """Spatial feature transform: x * gamma(inter) + beta(inter)."""

    def __init__(self, width: int):
        super().__init__()
        self.conv_gamma = self._branch(width)
        self.conv_beta = self._branch(width)

    def forward(self, x: Tensor, inter: Tensor) -> Tensor:
        return x * self.conv_gamma(inter) + self.conv_beta(inter)

    def _branch(self, width: int) -> nn.Sequential:
        first = nn.Conv2d(width, width, 1, bias=False)
        last = nn.Conv2d(width, width, 1, bias=False)
        return nn.Sequential(
            first,
            nn.LeakyReLU(SLOPE),
            last,
        )


class Guided(nn.Module):
    """The paper's DGM: deformable convolution and modulation, both added to the features."""

    def __init__(self, width: int):
        super().__init__()
        self.dcn = ModulatedDeformConv(width)
        self.sft = Modulation(width)

    def forward(self, x: Tensor, inter: Tensor) -> Tensor:
        return x + self.dcn(x, inter) + self.sft(x, inter)


class GuidedBlock(nn.Module):
    """The paper's DGB: two guided layers, each before a convolution."""

    def __init__(self, width: int):
        super().__init__()
        self.dgm1 = Guided(width)
        self.dgm2 = Guided(width)
        self.conv1 = _conv(width, width)
        self.conv2 = _conv(width, width)

    def forward(self, x: Tensor, inter: Tensor) -> Tensor:
        y = _leaky(self.dgm1(x, inter))
        y = _leaky(self.conv1(y))
        y = _leaky(self.dgm2(y, inter))
        return x + self.conv2(y)


class GuidedGroup(nn.Module):
    """The paper's DGG: guided blocks and a convolution, added to the input."""

    def __init__(self, width: int, blocks: int):
        super().__init__()
        self.body = nn.Sequential(
            *(GuidedBlock(width) for _ in range(blocks)),
            _conv(width, width),
        )

    def forward(self, x: Tensor, inter: Tensor) -> Tensor:
        return x + _through(self.body, x, inter)


class Restorer(nn.Module):
    """The paper's DGRN. It predicts the image itself: the input is not added to the result."""

    def __init__(
        self,
        width: int,
        groups: int,
        blocks: int,
    ):
        super().__init__()
        self.head = nn.Sequential(_conv(3, width))
        self.body = nn.Sequential(
            *(GuidedGroup(width, blocks) for _ in range(groups)),
            _conv(width, width),
        )
        self.tail = nn.Sequential(_conv(width, 3))

    def forward(self, x: Tensor, inter: Tensor) -> Tensor:
        x = self.head(x)
        return self.tail(x + _through(self.body, x, inter))


@register_arch
class AirNet(nn.Module):
    """AirNet: one restorer for several degradations, which it infers from the image.

    The authors train the encoder by contrast first (MoCo). The modules of that stage exist for the
    published weights (`unused`) but are not trained here: a new network learns its encoder through
    the restored image alone.

    Args:
        width: channels.
        groups, blocks: guided groups, and guided blocks of each.
        tasks: the authors' `batch_size`, one image of each degradation. It only sets the length of
            the queue in their file: 5 for All.pth, 3 for Denoise.pth, 1 for Derain.pth and
            Dehaze.pth.
    """

    smoke = {
        "width": 8,
        "groups": 1,
        "blocks": 1,
        "tasks": 1,
    }
    """Constructor arguments of a small instance for the tests of all networks."""
    unused = ("E.E.encoder_k.", "E.E.encoder_q.E.", "E.E.encoder_q.mlp.")
    """Name prefixes of parameters that do not affect the result."""

    def __init__(
        self,
        width: int = 64,
        groups: int = 5,
        blocks: int = 5,
        tasks: int = 5,
    ):
        super().__init__()
        self.R = Restorer(width, groups, blocks)
        # The authors wrap the encoder twice, so their keys begin with "E.E.".
        self.E = nn.Module()
        self.E.E = Contrast(width, tasks)
        for part in (self.E.E.encoder_k, self.E.E.encoder_q.E, self.E.E.encoder_q.mlp):
            part.requires_grad_(False)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped.
        """
        return self.R(lq, self.E.E.encoder_q.E_pre(lq))


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


def _through(body: nn.Sequential, x: Tensor, inter: Tensor) -> Tensor:
    # All parts but the last, a plain convolution, take the degradation as well.
    for part in body[:-1]:
        x = part(x, inter)
    return body[-1](x)
