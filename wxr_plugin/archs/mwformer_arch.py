"""MWFormer (Zhu et al., TIP 2024): TransWeather with weights that depend on the weather.

A second network, the style filter, maps the photo to a vector of its weather. The authors state no
licence; their code derives from TransWeather (MIT). Layers that they do not use are kept, since
their files hold the parameters: TransWeather's two, a norm, and the fixed projections of the first
stage.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from wxr_plugin.archs.mwformer_layers import SteeredEncoder, StyleFilter
from wxr_plugin.archs.transweather_layers import (
    SMALLEST,
    STRIDE,
    ConvLayer,
    Decoder,
    PatchEmbed,
    Tail,
    initialise,
)
from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended


class Backbone(nn.Module):
    """Restoring network: RGB (N, 3, H, W) in [-1, 1] and a vector (N, vector) to RGB in [0, 1]."""

    def __init__(
        self,
        dims: Sequence[int],
        depths: Sequence[int],
        heads: Sequence[int],
        drop_path: float,
        vector: int,
    ):
        super().__init__()
        self.Tenc = initialise(SteeredEncoder(dims, depths, heads, drop_path, vector))
        # Not used; in the authors' files.
        self.Tenc.mini_patch_embed4 = PatchEmbed(dims[0], dims[3]).requires_grad_(False)
        self.Tdec = initialise(Decoder(dims[3], drop_path=drop_path))
        self.convtail = Tail(dims)
        self.clean = ConvLayer(8, 3)

    def forward(self, image: Tensor, vector: Tensor) -> Tensor:
        features = self.Tenc(image, vector)
        deepest = self.Tdec(features[-1])
        return self.clean(self.convtail(features, deepest))


@register_arch
class MWFormer(nn.Module):
    """MWFormer; its parts `backbone` and `style_filter` are the authors' two files.

    Args:
        dims: channels of the stages at 1/4, 1/8, 1/16 and 1/32 of the size. Published is
            MWFormer-L.
        depths: blocks of each stage.
        heads: attention heads of each stage; must divide its channels.
        vector: length of the weather vector, 64 as published.
        drop_path: largest rate at which training leaves a block's branches out.
    """

    smoke = {
        "dims": [8, 16, 16, 32],
        "depths": [1, 1, 1, 1],
        "heads": [1, 2, 2, 2],
        "vector": 8,
        "drop_path": 0,
    }
    """Constructor arguments of a small instance for the tests of all networks."""

    unused = (
        "backbone.Tenc.layernorm.",
        "backbone.Tenc.mini_patch_embed4.",
        "backbone.Tenc.block1.0.attn.q.",
        "backbone.Tenc.block1.0.attn.kv.",
        "backbone.Tenc.patch_block1.0.attn.q.",
        "backbone.Tenc.patch_block1.0.attn.kv.",
        "backbone.convtail.conv_output.",
    )
    """Name prefixes of parameters that do not affect the result.

    With more blocks in stage 1, theirs do not affect it either.
    """

    def __init__(
        self,
        dims: Sequence[int] = (64, 128, 320, 512),
        depths: Sequence[int] = (2, 2, 2, 2),
        heads: Sequence[int] = (1, 2, 4, 4),
        vector: int = 64,
        drop_path: float = 0.1,
    ):
        super().__init__()
        self.backbone = Backbone(dims, depths, heads, drop_path, vector)
        self.style_filter = initialise(StyleFilter(dims, depths, heads, drop_path, vector))

    def forward(self, lq: Tensor, vector: Tensor | None = None) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped. Sides that are not
        a multiple of 16 (or below 48) are extended right and below by reflection, and the result is
        cropped (our choice; the authors take multiples of 16). `vector` is as in `published`.
        """
        return cropped(self.published(_scaled(lq), vector), lq)

    def look(self, lq: Tensor) -> Tensor:
        """Return the weather vectors (N, C) of images as in `forward`.

        They grow with the size of the images.
        """
        return self.style_filter(_scaled(lq))

    def published(self, image: Tensor, vector: Tensor | None = None) -> Tensor:
        """Run the authors' networks: RGB (N, 3, H, W) in [-1, 1] to RGB on the scale of [0, 1].

        H and W are multiples of 16 and at least 48. `vector` (N, C) replaces the image's own, for
        example by that of another photo with the weather to remove.
        """
        if vector is None:
            vector = self.style_filter(image)
        return self.backbone(image, vector)


def _scaled(lq: Tensor) -> Tensor:
    # [0, 1] -> [-1, 1], at sides that the network takes.
    return 2 * extended(lq, STRIDE, SMALLEST) - 1
