"""TransWeather (Valanarasu et al., CVPR 2022): transformer stages and weather queries.

The authors' code is under the MIT licence. Two unused layers of theirs are kept, since their files
hold the parameters: the fourth mini patch embedding and the tail's output convolution.
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

    smoke = {
        "dims": [8, 16, 16, 32],
        "depths": [1, 1, 1, 1],
        "heads": [1, 2, 2, 2],
        "drop_path": 0,
    }
    """Constructor arguments of a small instance for the tests of all networks."""

    unused = ("Tenc.mini_patch_embed4.", "convtail.conv_output.")
    """Name prefixes of parameters that do not affect the result.

    Without queries the tail is called `convproj`.
    """

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
        # Not used; in the authors' files.
        self.Tenc.mini_patch_embed4 = PatchEmbed(dims[0], dims[3]).requires_grad_(False)
        if weather_queries:
            self.Tdec = initialise(Decoder(dims[3], drop_path=drop_path))
            self.convtail = Tail(dims)
        else:
            self.convproj = Tail(dims, decoded=False)
        self.clean = ConvLayer(8, 3)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is in (-1, 1) (tanh). The authors
        resize images to multiples of 16, of at most 1024; here sides that are not such a multiple
        (or below 48) are extended right and below by reflection, and the result is cropped (our
        choice).
        """
        image = 2 * extended(lq, STRIDE, SMALLEST) - 1
        return cropped(self.published(image), lq)

    def published(self, image: Tensor) -> Tensor:
        """Run the authors' network: RGB (N, 3, H, W) in [-1, 1] to RGB on the scale of [0, 1].

        H and W are multiples of 16 and at least 48.
        """
        features = self.Tenc(image)
        # The base network has neither decoder nor queries.
        if hasattr(self, "convproj"):
            tail = self.convproj(features)
        else:
            tail = self.convtail(features, self.Tdec(features[-1]))
        return self.clean(tail).tanh()
