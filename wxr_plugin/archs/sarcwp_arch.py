"""U-Net with SAR in the encoder and CWP in the decoder, after Tan et al. (TIP 2024, 2306.09008).

Only the abstract is public, so this does not reproduce the paper: the parts are the paper's, but
their computation is ours (`sar.py`, `cwp.py`), and so are the backbone (blocks of NAFNet, four
levels) and its sizes. Unlike NAFNet's, the blocks do not start at zero: a mask learns nothing from
a residual of zero. docs/sarcwp.md
"""

from collections.abc import Sequence

from torch import Tensor, nn

from wxr_plugin.archs.context import Context, checked_inputs
from wxr_plugin.archs.cwp import WeatherPriors
from wxr_plugin.archs.nafnet_arch import NAFBlock, up_layer
from wxr_plugin.archs.sar import Gate, Masked, SAREncoder, with_masks
from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

LEVELS = 4
STRIDE = 1 << (LEVELS - 1)


@register_arch
class SARCWP(nn.Module):
    """U-Net of four levels with gated encoder stages, weather priors and a global residual.

    Args:
        width: channels at full size; doubles with each level.
        enc_blk_nums: blocks of each encoder stage, the deepest one last; the residual of the stage
            is gated.
        dec_blk_nums: blocks of each decoder stage, the deepest one first.
        sar: spatial: a mask for all channels of a stage; channel: one for each; extra: one mask, on
            a second residual, so that a closed mask leaves the stage as it is; absent: no masks.
        context: [image] for CWP, which needs a guide's embedding; [] without CWP.
        context_dim: length of the embedding: 1024 for RN50, 512 for ViT-B/32.
        vectors: number of learnt vectors next to the embedding.
        join: append: the embedding is one more token of CWP; add: it is added to every learnt
            vector.
    """

    smoke = {
        "width": 4,
        "enc_blk_nums": [1, 1, 1, 1],
        "dec_blk_nums": [1, 1, 1],
        "context_dim": 8,
    }
    """Constructor arguments of a small instance for the tests of all networks."""
    context_names = ("image",)

    def __init__(
        self,
        width: int = 32,
        enc_blk_nums: Sequence[int] = (2, 2, 4, 8),
        dec_blk_nums: Sequence[int] = (2, 2, 2),
        sar: str | None = "spatial",
        context: Sequence[str] = ("image",),
        context_dim: int = 1024,
        vectors: int = 48,
        join: str = "append",
    ):
        super().__init__()
        if (len(enc_blk_nums), len(dec_blk_nums)) != (LEVELS, LEVELS - 1):
            raise ValueError(
                f"SARCWP: enc_blk_nums has {LEVELS} numbers and dec_blk_nums {LEVELS - 1}"
            )
        self.context_inputs = checked_inputs(context, self.context_names)
        self.context_dim = context_dim
        widths = [width << level for level in range(LEVELS)]
        # Strided 2x2 convolutions, to half the size and twice the channels.
        downs = (nn.Conv2d(channels, 2 * channels, 2, 2) for channels in widths[:-1])
        self.intro = nn.Conv2d(3, width, 3, padding=1)
        self.ending = nn.Conv2d(width, 3, 3, padding=1)
        self.encoder = SAREncoder(map(_stage, widths, enc_blk_nums), downs, widths, sar)
        self.decoder = nn.ModuleList(map(_stage, widths[-2::-1], dec_blk_nums))
        self.ups = nn.ModuleList(up_layer(channels) for channels in widths[:0:-1])
        self.priors = WeatherPriors(
            self.context_inputs,
            context_dim,
            widths[::-1],
            vectors,
            join,
        )

    @property
    def sar_widths(self) -> tuple[int, ...]:
        """Channels of the stages that give masks, the one at full size first; empty without SAR."""
        return self.encoder.gates.widths

    def forward(
        self, lq: Tensor, context: Context | None = None, *, masks: bool = False
    ) -> Tensor | Masked:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped. Sizes that are not
        a multiple of 8 are extended by reflection and cropped. A network without CWP ignores
        `context`. With `masks` the result is a Masked.

        Raises:
            ContextError: `context` does not fit the network.
        """
        padded = extended(lq, STRIDE)
        restored, recorded = self._restore(padded, context)
        restored = cropped(restored, lq)
        return with_masks(restored, recorded, padded) if masks else restored

    def _restore(self, lq: Tensor, context: Context | None) -> tuple[Tensor, list[Gate]]:
        tokens = self.priors.tokens(context)
        (*skips, x), recorded = self.encoder(self.intro(lq))
        x = self.priors.level(0, x, tokens)
        for number, (up, stage) in enumerate(zip(self.ups, self.decoder), start=1):
            x = up(x) + skips.pop()
            x = self.priors.level(number, x, tokens)
            x = stage(x)
        return self.ending(x) + lq, recorded


def _stage(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(_block(channels) for _ in range(blocks)))


def _block(channels: int) -> NAFBlock:
    block = NAFBlock(channels, nn.AdaptiveAvgPool2d(1))
    # NAFNet starts these factors of its residuals at zero.
    nn.init.ones_(block.beta)
    nn.init.ones_(block.gamma)
    return block
