"""TKL, two-stage knowledge learning (Chen et al., CVPR 2022): MSBDN-RDFF that learns several weathers from teachers.

Students and teachers are one network, that of MSBDN with residual dense fusion. The authors' code
is under the MIT licence, but the network's file comes from the MSBDN repository, which states none.
"""

from torch import Tensor

from wxr_plugin.archs.msbdn_arch import MSBDN, SMALLEST, STRIDE
from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended


@register_arch
class TKL(MSBDN):
    """The network of TKL's students and teachers, with the authors' state-dict names, so that their weights load.

    Args:
        width: channels at full size, 16 as published; it doubles at each of the four levels. Must
            be even.
        bottleneck_blocks: residual blocks at 1/16 of the size, 18 as published.
        stage_blocks: residual blocks of each encoder and decoder stage, 3 as published.
    """

    smoke = {"width": 4, "bottleneck_blocks": 1, "stage_blocks": 1}
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(
        self,
        width: int = 16,
        bottleneck_blocks: int = 18,
        stage_blocks: int = 3,
    ):
        super().__init__("rdff", width, bottleneck_blocks, stage_blocks)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped.
        Sizes that are not a multiple of 16 (or below 32) are extended right and below by reflection,
        and the result is cropped (our choice; the authors resize them to the multiple below).
        """
        return cropped(self.published(extended(lq, STRIDE, SMALLEST))[0], lq)

    def published(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The authors' call with `return_feat`: RGB in [0, 1], sides multiples of 16, to the image and four features.

        The features, by which students learn from teachers, are those of the encoder at 1/4, 1/8
        and 1/16 of the size and those of the bottleneck.
        """
        skips = self._encode(image, None)
        deepest = self._boost(skips[-1])
        return self.conv_output(self._decode(deepest, skips[:-1])), [*skips[2:], deepest]
