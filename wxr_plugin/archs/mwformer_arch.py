"""MWFormer (Zhu et al., IEEE TIP 2024): TransWeather, whose weights depend on the weather that a second network sees.

The authors state no licence; their code derives from TransWeather (MIT). Oddities of theirs that
are kept, because their files hold the parameters: TransWeather's two, a norm and the fixed
projections of the first stage are not used.
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
    """The restoring network: RGB (N, 3, H, W) in [-1, 1] and the vector (N, `vector`), to the image in [0, 1]."""

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
        self.Tenc.mini_patch_embed4 = PatchEmbed(dims[0], dims[3]).requires_grad_(False)
        self.Tdec = initialise(Decoder(dims[3], drop_path=drop_path))
        self.convtail = Tail(dims)
        self.clean = ConvLayer(8, 3)

    def forward(self, image: Tensor, vector: Tensor) -> Tensor:
        features = self.Tenc(image, vector)
        return self.clean(self.convtail(features, self.Tdec(features[-1])))


@register_arch
class MWFormer(nn.Module):
    """MWFormer: the authors' two files, the backbone and the style filter, are its parts of these names.

    Args:
        dims: channels of the stages at 1/4, 1/8, 1/16 and 1/32 of the size. Published is
            MWFormer-L.
        depths: blocks of each stage.
        heads: attention heads of each stage; must divide its channels.
        vector: length of the vector of the weather, 64 as published.
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
    """Parameters of the authors' files that take no part in the result (and those of further blocks of stage 1)."""

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

        H and W are arbitrary; the result has the same shape and is not clamped.
        Sides that are no multiple of 16 (or below 48) are extended right and below by reflection,
        and the result is cropped (our choice; the authors take multiples of 16). `vector` is as in
        `published`.
        """
        return cropped(self.published(_scaled(lq), vector), lq)

    def look(self, lq: Tensor) -> Tensor:
        """The vectors (N, C) of the weather of images as in `forward`.

        They grow with the size of the images.
        """
        return self.style_filter(_scaled(lq))

    def published(self, image: Tensor, vector: Tensor | None = None) -> Tensor:
        """The authors' call: RGB in [-1, 1], sides multiples of 16 from 48, to the image on the scale of [0, 1].

        `vector` (N, C) is used in place of that of the image, say one of another photo with the
        weather to remove.
        """
        return self.backbone(image, self.style_filter(image) if vector is None else vector)


def _scaled(lq: Tensor) -> Tensor:
    return 2 * extended(lq, STRIDE, SMALLEST) - 1
