"""Restormer (Zamir et al., CVPR 2022), plain, steered, with SAR and CWP, on spandrel's layers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wxr_plugin.archs.context import STEERING, Context, checked_inputs
from wxr_plugin.archs.context_hooks import ContextHooks
from wxr_plugin.archs.cwp import WeatherPriors
from wxr_plugin.archs.sar import Gate, Masked, SoftGates, with_masks
from wxr_plugin.registry import register_arch
from wxr_plugin.utils.extras import imported
from wxr_plugin.utils.sizes import cropped, extended

STRIDE = 8


@register_arch
class Restormer(nn.Module):
    """Restormer with the authors' state-dict names, so that their weights load.

    The layers are those of the package spandrel_extra_arches (extra `extra-archs`), which carries
    the authors' licence (academic use).

    Args:
        dim: channels at full size; doubles with each of the four levels.
        num_blocks: blocks of each level, full size first.
        num_refinement_blocks: blocks after the decoder, at full size.
        heads: attention heads of each level.
        ffn_expansion_factor: hidden channels of the feed-forwards, in multiples of their channels.
        layer_norm: 'WithBias' (deraining, deblurring) or 'BiasFree' (every denoising checkpoint).
        context: embeddings of a guide that steer the network: `content`, `degradation` or both of
            DA-CLIP, or `image` of CLIP (CWP); none as published.
        context_dim: length of these embeddings: 512 for a ViT-B/32, 768 for a ViT-L/14, 1024 for
            RN50.
        sar: spatial, channel or extra: soft masks on the residual of each encoder stage; none as
            published.
    """

    smoke = {
        "dim": 8,
        "num_blocks": [1, 1, 1, 1],
        "num_refinement_blocks": 1,
        "heads": [1, 1, 2, 2],
    }
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(
        self,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        num_refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        ffn_expansion_factor: float = 2.66,
        layer_norm: str = "WithBias",
        context: Sequence[str] = (),
        context_dim: int = 512,
        sar: str | None = None,
    ):
        super().__init__()
        self.context_inputs = checked_inputs(context)
        self.context_dim = context_dim
        published = _published(
            dim=dim,
            num_blocks=list(num_blocks),
            num_refinement_blocks=num_refinement_blocks,
            heads=list(heads),
            ffn_expansion_factor=ffn_expansion_factor,
            LayerNorm_type=layer_norm,
        )
        # Their layers become ours, so that keys have no prefix.
        for name, layer in published.named_children():
            self.add_module(name, layer)
        widths = [dim << level for level in range(4)]
        self.is_steered = any(name in STEERING for name in self.context_inputs)
        if self.is_steered:
            self.context = ContextHooks(self.context_inputs, context_dim, widths)
        self.gates = SoftGates(widths, sar)
        # The decoder's widths; its last level keeps the joined 2 dim channels.
        decoder_widths = [*widths[:0:-1], 2 * dim]
        self.priors = WeatherPriors(self.context_inputs, context_dim, decoder_widths)

    @property
    def sar_widths(self) -> tuple[int, ...]:
        """Channels of the stages that give masks, the one at full size first; empty without SAR."""
        return self.gates.widths

    def forward(
        self, lq: Tensor, context: Context | None = None, *, masks: bool = False
    ) -> Tensor | Masked:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped. Sizes that are not
        a multiple of 8 are extended by reflection (repetition below 8) and cropped, as the authors'
        test script does. A network built without `context` ignores it. With `masks` the result is a
        Masked.

        Raises:
            ContextError: `context` does not fit the network.
        """
        padded = extended(lq, STRIDE)
        recorded = [] if masks else None
        restored = cropped(self._restore(padded, context, recorded), lq)
        return with_masks(restored, recorded, padded) if masks else restored

    def _restore(self, lq: Tensor, context: Context | None, recorded: list[Gate] | None) -> Tensor:
        tokens = self.priors.tokens(context)
        skips, x = self._encode(lq, context, recorded)
        x = self.priors.level(0, x, tokens)
        x = self._joined(self.up4_3(x), skips[2], self.reduce_chan_level3)
        x = self.priors.level(1, x, tokens)
        x = self.decoder_level3(x)
        x = self._joined(self.up3_2(x), skips[1], self.reduce_chan_level2)
        x = self.priors.level(2, x, tokens)
        x = self.decoder_level2(x)
        # At full size the joined 2 dim channels are not reduced.
        x = torch.cat((self.up2_1(x), skips[0]), dim=1)
        x = self.priors.level(3, x, tokens)
        x = self.decoder_level1(x)
        return self.output(self.refinement(x)) + lq

    def _encode(
        self, lq: Tensor, context: Context | None, recorded: list[Gate] | None
    ) -> tuple[list[Tensor], Tensor]:
        """Return the features of the three finer levels, and those of the deepest one."""
        prompt = self.context.prepare(context) if self.is_steered else None
        levels = (self.encoder_level1, self.encoder_level2, self.encoder_level3, self.latent)
        downs = (self.patch_embed, self.down1_2, self.down2_3, self.down3_4)
        x = lq
        skips = []
        for number, (down, blocks) in enumerate(zip(downs, levels)):
            x = down(x)
            if self.is_steered:
                x = self.context.level(number, x, prompt)
            x = self.gates.gate(number, x, blocks(x), recorded)
            skips.append(x)
        if self.is_steered:
            x = self.context.deepest(x, context)
        return skips[:3], x

    def _joined(self, x: Tensor, skip: Tensor, reduce: nn.Module) -> Tensor:
        return reduce(torch.cat((x, skip), dim=1))


def _published(**arguments: object) -> nn.Module:
    # Imported here, since the package imports all of its networks.
    return imported("spandrel_extra_arches.architectures.Restormer").Restormer(**arguments)
