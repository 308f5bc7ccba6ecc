"""MWDT (Patil et al., ICCV 2023): restores a photo from itself and its fog, rain and snow versions.

The authors state no licence for code or weights. Their files hold whole pickled modules, one for
each network; extract the state dicts with the authors' code and load them into the parts
`restorer`, `fog`, `rain` and `snow`.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from wxr_plugin.archs.mwdt_layers import (
    KERNELS,
    AlignedSlot,
    Deformable,
    FeatureBlock,
    SkipAttention,
    SkipBlock,
    SlotMerge,
    Up,
    conv3,
)
from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

STRIDE = 8
SMALLEST = 16
"""Smallest side: instance norm at 1/8 of the size needs more than one pixel."""
FACTORS = (1, 2, 4)
"""Divisors of the widths that the authors' code offers."""


def _widths(factor: int) -> tuple[int, int, int, int]:
    return tuple((32 << level) // factor for level in range(4))


class TranslatorDecoder(nn.Module):
    """Decoder from maps of all levels, finest first, to an image (N, 3, H, W).

    `x` is the coarsest map (N, widths[3], H / 8, W / 8), refined.
    """

    def __init__(self, widths: tuple[int, int, int, int]):
        super().__init__()
        for level, (finer, width) in enumerate(pairwise(widths), 1):
            name = str(level + 1)
            self.add_module(f"skip{level}", SkipBlock(width))
            self.add_module(f"conv_skip{5 - level}", conv3(2 * width, width))
            self.add_module(f"Up{name}", Up(width, finer))
            self.add_module(f"Up_conv{name}", conv3(finer, finer))
        # The authors' name; there is no tanh.
        self.tanh_out = nn.Conv2d(widths[0], 3, 1)

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        for level in (3, 2, 1):
            skip = getattr(self, f"skip{level}")(skips[level])
            x = getattr(self, f"conv_skip{5 - level}")(torch.cat((x, skip), 1))
            x = getattr(self, f"Up{level + 1}")(x)
            x = getattr(self, f"Up_conv{level + 1}")(x)
        return self.tanh_out(x)


class Translator(nn.Module):
    """Translator of BGR images (N, 3, H, W) in [-1, 1] into one weather; 8 divides H and W."""

    def __init__(self, factor: int):
        super().__init__()
        widths = _widths(factor)
        for level, (inputs, outputs) in enumerate(zip((3, *widths), widths), 1):
            self.add_module(f"Conv{level}", conv3(inputs, outputs, stride=1 if level == 1 else 2))
        self.res_block = Deformable(widths[3], widths[3])
        self.dec1 = TranslatorDecoder(widths)

    def forward(self, image: Tensor) -> Tensor:
        x = image
        skips = []
        for conv in (self.Conv1, self.Conv2, self.Conv3, self.Conv4):
            x = conv(x)
            skips.append(x)
        # One block, applied three times with the same weights.
        for _ in range(3):
            x = self.res_block(x)
        return self.dec1(x, skips)


class RestorerDecoder(nn.Module):
    """Decoder that enlarges the coarser map first and then joins a level's map by attention."""

    def __init__(self, widths: tuple[int, int, int, int]):
        super().__init__()
        for level, (finer, width) in enumerate(pairwise(widths)):
            self.add_module(f"Up{level + 3}", Up(width, finer))
            self.add_module(f"Up_conv{level + 3}", conv3(finer, finer))
            self.add_module(f"conv_skip{4 - level}", SkipAttention(finer))
        self.tanh_out = nn.Conv2d(widths[0], 3, 1)

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        for level in (2, 1, 0):
            x = getattr(self, f"Up{level + 3}")(x)
            x = getattr(self, f"Up_conv{level + 3}")(x)
            x = getattr(self, f"conv_skip{4 - level}")(x, skips[level])
        return self.tanh_out(x)


class Restorer(nn.Module):
    """Restorer of a photo from itself and its three translations.

    All four are BGR (N, 3, H, W) in [-1, 1], H and W multiples of 8.
    """

    def __init__(self, factor: int):
        super().__init__()
        widths = _widths(factor)
        # An encoder for each of the four images; the maps of a level merge into one skip.
        for stream in range(1, 5):
            self.add_module(f"Conv1{stream}", conv3(3, widths[0]))
            for level, (inputs, outputs) in enumerate(zip((widths[0], *widths), widths), 1):
                block = FeatureBlock(inputs, outputs, stride=1 if level == 1 else 2)
                self.add_module(f"feat_extract{level}{stream}", block)
        for level, width in enumerate(widths[:3], 1):
            slots = [AlignedSlot(width // 4, kernel) for kernel in KERNELS]
            self.add_module(f"skip_l{level}", SlotMerge(width, slots))
        self.res_block1 = Deformable(4 * widths[3], widths[3])
        self.res_block2 = Deformable(widths[3], widths[3])
        self.res_block3 = Deformable(widths[3], widths[3])
        self.dec1 = RestorerDecoder(widths)

    def forward(
        self,
        image: Tensor,
        fog: Tensor,
        rain: Tensor,
        snow: Tensor,
    ) -> Tensor:
        images = (image, fog, rain, snow)
        streams = [getattr(self, f"Conv1{i}")(x) for i, x in enumerate(images, 1)]
        skips = []
        for level in (1, 2, 3, 4):
            streams = [
                getattr(self, f"feat_extract{level}{i}")(x) for i, x in enumerate(streams, 1)
            ]
            if level < 4:
                skips.append(getattr(self, f"skip_l{level}")(*streams))
        x = torch.cat(streams, 1)
        for block in (self.res_block1, self.res_block2, self.res_block3):
            x = block(x)
        return self.dec1(x, skips)


@register_arch
class MWDT(nn.Module):
    """MWDT: the parts `fog`, `rain` and `snow` translate, the part `restorer` restores.

    Each part has the authors' state-dict names.

    Args:
        factor: divisor of the widths 32, 64, 128 and 256: 1, 2 or 4. The authors do not state which
            one their files have (a comment in their code says 4): the first convolution has
            32 / factor channels.
    """

    smoke = {"factor": 4}
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(self, factor: int = 4):
        super().__init__()
        if factor not in FACTORS:
            raise ValueError(
                f"MWDT: factor is one of {', '.join(map(str, FACTORS))}, not {factor!r}"
            )
        self.fog = Translator(factor)
        self.rain = Translator(factor)
        self.snow = Translator(factor)
        self.restorer = Restorer(factor)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped. The authors' script
        crops photos to their left square and resizes it to 256x256. The network takes any multiple
        of 8: other sides (or below 16) are extended right and below by reflection, and the result
        is cropped (our choice). Instance norms see the whole image.
        """
        # RGB in [0, 1] -> BGR in [-1, 1]
        image = 2 * extended(lq, STRIDE, SMALLEST).flip(1) - 1
        restored = self.published(image).flip(1)
        return cropped((restored + 1) / 2, lq)

    def published(self, image: Tensor) -> Tensor:
        """Run the authors' networks: BGR (N, 3, H, W) in [-1, 1] to the restored BGR image.

        H and W are multiples of 8 and at least 16.
        """
        fog = self.fog(image)
        rain = self.rain(image)
        snow = self.snow(image)
        return self.restorer(image, fog, rain, snow)
