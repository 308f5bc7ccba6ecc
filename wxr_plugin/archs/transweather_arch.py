"""TransWeather (Valanarasu et al., CVPR 2022): transformer stages with patches inside patches, and weather queries.

The authors' code is under the MIT licence. Two oddities of theirs are kept because their files hold
the parameters: the fourth mini patch embedding and the tail's output convolution take no part in
the result.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from wxr_plugin.archs.transweather_layers import (
    SMALLEST,
    STRIDE,
    ConvLayer,
    Decoder,
    Encoder,
    PatchEmbed,
    Tail,
    initialise,
)
from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended


@register_arch
class TransWeather(nn.Module):
    """TransWeather with the authors' state-dict names, so that their weights load.

    Args:
        weather_queries: False for the authors' base network, which is for one weather and has no
            decoder of queries.
        dims: channels of the stages at 1/4, 1/8, 1/16 and 1/32 of the size.
        depths: blocks of each stage.
        heads: attention heads of each stage; must divide its channels.
        drop_path: largest rate at which training leaves a block's branches out.
    """

    smoke = {"dims": [8, 16, 16, 32], "depths": [1, 1, 1, 1], "heads": [1, 2, 2, 2], "drop_path": 0}
    """Constructor arguments of a small instance for the tests of all networks."""

    unused = ("Tenc.mini_patch_embed4.", "convtail.conv_output.")
    """Parameters of the authors' files that take no part in the result (without queries, the tail is `convproj`)."""

    def __init__(
        self,
        weather_queries: bool = True,
        dims: Sequence[int] = (64, 128, 320, 512),
        depths: Sequence[int] = (2, 2, 2, 2),
        heads: Sequence[int] = (1, 2, 4, 4),
        drop_path: float = 0.1,
    ):
        super().__init__()
        self.Tenc = initialise(Encoder(dims, depths, heads, drop_path))
        self.Tenc.mini_patch_embed4 = PatchEmbed(dims[0], dims[3]).requires_grad_(False)
        if weather_queries:
            self.Tdec = initialise(Decoder(dims[3], drop_path=drop_path))
            self.convtail = Tail(dims)
        else:
            self.convproj = Tail(dims, decoded=False)
        self.clean = ConvLayer(8, 3)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images (N, 3, H, W) in [0, 1], any H and W; the result is of that size, between -1 and 1 (tanh).

        The authors resize images to multiples of 16, of at most 1024; here sides that are none (or
        below 48) are extended right and below by reflection, and the result is cropped (our
        choice).
        """
        return cropped(self.published(2 * extended(lq, STRIDE, SMALLEST) - 1), lq)

    def published(self, image: Tensor) -> Tensor:
        """The authors' call: RGB in [-1, 1], sides multiples of 16 from 48, to the image on the scale of [0, 1]."""
        features = self.Tenc(image)
        base = hasattr(self, "convproj")
        tail = self.convproj(features) if base else self.convtail(features, self.Tdec(features[-1]))
        return self.clean(tail).tanh()
