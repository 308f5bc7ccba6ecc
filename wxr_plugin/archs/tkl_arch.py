"""TKL (Chen et al., CVPR 2022): MSBDN-RDFF that learns several weathers from teachers.

Students and teachers are one network, that of MSBDN with residual dense fusion. The authors' code
is under the MIT licence, but the network's file comes from the MSBDN repository, which states none.
"""

from torch import Tensor

from wxr_plugin.archs.msbdn_arch import MSBDN, SMALLEST, STRIDE
from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended


@register_arch
class TKL(MSBDN):
    """The network of TKL's students and teachers, with the authors' state-dict names.

    Args:
        width: channels at full size, 16 as published; it doubles at each of the four levels. Must
            be even.
        bottleneck_blocks: residual blocks at 1/16 of the size, 18 as published.
        stage_blocks: residual blocks of each encoder and decoder stage, 3 as published.
    """

    smoke = {
        "width": 4,
        "bottleneck_blocks": 1,
        "stage_blocks": 1,
    }
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

        H and W are arbitrary; the result has the same shape and is not clamped. Sizes that are not
        a multiple of 16 (or below 32) are extended right and below by reflection, and the result is
        cropped (our choice; the authors resize them to the multiple below).
        """
        restored, _ = self.published(extended(lq, STRIDE, SMALLEST))
        return cropped(restored, lq)

    def published(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Run the authors' network with `return_feat` on RGB images (N, 3, H, W) in [0, 1].

        H and W are multiples of 16. Returns the restored images and four features, by which
        students learn from teachers: those of the encoder at 1/4, 1/8 and 1/16 of the size and
        those of the bottleneck.
        """
        # TKL is not steered, so there is no prompt.
        skips = self._encode(image, None)
        deepest = self._boost(skips[-1])
        feature = self._decode(deepest, skips[:-1])
        return self.conv_output(feature), [*skips[2:], deepest]
