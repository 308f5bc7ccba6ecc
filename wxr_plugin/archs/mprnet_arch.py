"""MPRNet (Zamir et al., CVPR 2021): the layers of spandrel with our handling of sizes."""

from torch import Tensor, nn

from wxr_plugin.registry import register_arch
from wxr_plugin.utils.extras import imported
from wxr_plugin.utils.sizes import cropped, extended

STRIDE = 8


@register_arch
class MPRNet(nn.Module):
    """MPRNet with the authors' state-dict names, so that their weights load.

    The layers are those of the package spandrel_extra_arches (extra `extra-archs`). They and the
    weights carry the authors' licence: the Academic Public License, for non-commercial use, passed
    on under the same licence only. One PReLU serves all blocks, so a state dict repeats its one
    value under many names.

    Args:
        n_feat: channels at full size: 40 for deraining, 96 for deblurring, 80 for denoising.
        scale_unetfeats: additional channels of each lower level: 20, 48, 48.
        scale_orsnetfeats: additional channels of the last stage: 16, 32, 32.
        num_cab: attention blocks of each of the last stage's three parts.
    """

    smoke = {
        "n_feat": 8,
        "scale_unetfeats": 4,
        "scale_orsnetfeats": 4,
        "num_cab": 1,
    }
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(
        self,
        n_feat: int = 40,
        scale_unetfeats: int = 20,
        scale_orsnetfeats: int = 16,
        num_cab: int = 8,
    ):
        super().__init__()
        self._network = _published()
        network = self._network(
            n_feat=n_feat,
            scale_unetfeats=scale_unetfeats,
            scale_orsnetfeats=scale_orsnetfeats,
            num_cab=num_cab,
        )
        # Their layers become ours, so that keys have no prefix.
        for name, layer in network.named_children():
            self.add_module(name, layer)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped. Sizes that are not
        a multiple of 8 are extended by reflection (repetition below 8) and cropped, as the authors'
        test scripts do. The first stage works on quarters of the image and the second on halves, as
        published, so a tile does not give the result of the whole image.
        """
        restored = self.published(extended(lq, STRIDE))
        return cropped(restored[0], lq)

    def published(self, image: Tensor) -> list[Tensor]:
        """Run the authors' network on images (N, 3, H, W), H and W multiples of 8.

        Returns the images of the third, second and first stage.
        """
        return self._network.forward(self, image)


def _published() -> type[nn.Module]:
    # Imported here, since the package imports all of its networks.
    return imported("spandrel_extra_arches.architectures.MPRNet").MPRNet
