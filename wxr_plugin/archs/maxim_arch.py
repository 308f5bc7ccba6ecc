"""MAXIM (Tu et al., MAXIM: Multi-Axis MLP for Image Processing, CVPR 2022).

Two or three U-Nets in sequence, whose blocks mix positions by MLPs over a grid and within patches.
State-dict names are those of the authors' JAX code; `maxim_weights.from_jax` converts their weights
(Apache-2.0).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.archs.maxim_layers import (
    Block,
    Bottleneck,
    Conv,
    CrossGating,
    DecoderBlock,
    Resize,
    SupervisedAttention,
)
from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

LEVELS = 3
STRIDE = 64
SIDES = (16, 16, 8)
"""Side of grid and patches on each level, full size first; the bottleneck has that of the last."""


@register_arch
class MAXIM(nn.Module):
    """MAXIM: restores an image on every stage and level; `forward` returns the last one.

    Args:
        features: channels at full size, a multiple of 4; doubles with each of the three levels.
        num_stages: 2 (deraining, dehazing, low light, retouching) or 3 (denoising, deblurring) as
            published.
        num_groups: multi-axis MLPs of each block.
        num_bottleneck_blocks: blocks at the smallest size.
    """

    smoke = {
        "features": 4,
        "num_stages": 2,
        "num_groups": 1,
        "num_bottleneck_blocks": 1,
    }
    """Constructor arguments of a small instance for the tests of all networks."""
    unused = tuple(f"stage_{stage}_output_conv_{level}." for stage in (1, 2) for level in (1, 2))
    """Name prefixes of parameters of the last stage's smaller images, which `forward` ignores."""

    def __init__(
        self,
        features: int = 32,
        num_stages: int = 2,
        num_groups: int = 2,
        num_bottleneck_blocks: int = 2,
    ):
        super().__init__()
        self.num_stages = num_stages
        self.num_bottleneck_blocks = num_bottleneck_blocks
        self.widths = [features << level for level in range(LEVELS)]
        for stage in range(num_stages):
            self._add_inputs(stage)
            self._add_encoder(stage, num_groups)
            self._add_decoder(stage, num_groups)
            self._add_resizes(stage)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped. As in the authors'
        test script, images are extended by reflection to even sides, then on all four sides to
        multiples of 64, and the result is cropped. Where an image is too small to be reflected its
        border is repeated (our choice).
        """
        image = extended(lq, 2)
        height, width = image.shape[-2:]
        rows = -height % STRIDE // 2
        columns = -width % STRIDE // 2
        mode = "reflect" if rows < height and columns < width else "replicate"
        padded = F.pad(image, (columns, columns, rows, rows), mode=mode)
        # The last stage's image at full size.
        restored = self.published(padded)[-1][-1]
        return cropped(restored[..., rows:, columns:], lq)

    def published(self, image: Tensor) -> list[list[Tensor]]:
        """Run the authors' network on images (N, 3, H, W), H and W multiples of 64.

        Returns for every stage its images at a quarter, half and full size.
        """
        scales = [
            F.interpolate(image, scale_factor=0.5**level, mode="nearest-exact")
            for level in range(1, LEVELS)
        ]
        # Inside the network features are channel-last, (N, H, W, C).
        images = [scale.movedim(1, -1) for scale in (image, *scales)]
        outputs = []
        before = None
        for stage in range(self.num_stages):
            restored, before = self._stage(stage, images, before)
            outputs.append([picture.movedim(-1, 1) for picture in restored[::-1]])
        return outputs

    def _stage(
        self, stage: int, images: list[Tensor], before: list[list[Tensor]] | None
    ) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Return a stage's images and its features for the next stage, all finest first.

        `before` and the features returned are those of encoder and decoder and the attended ones.
        """
        inputs = [
            self._part(stage, f"input_conv_{level}")(images[level]) for level in range(LEVELS)
        ]
        gates: list[Tensor | None] = [None] * LEVELS
        if before:
            encoded_before, decoded_before, attended_before = before
            inputs = [
                self._part(stage, f"input_fuse_sam_{level}")(inputs[level], attended)[0]
                for level, attended in enumerate(attended_before)
            ]
            # Cross-stage features gate the encoder of this stage.
            gates = [coded + decoded for coded, decoded in zip(encoded_before, decoded_before)]
        encoded, x = self._encode(stage, inputs, gates)
        skips = self._skips(stage, encoded, x)
        decoded = self._decode(stage, skips, x)
        attended, restored = [], []
        for level in range(LEVELS):
            features, picture = self._finished(stage, level, decoded[level], images[level])
            attended.append(features)
            restored.append(picture)
        return restored, [encoded, decoded, attended]

    def _encode(
        self, stage: int, inputs: list[Tensor], gates: list[Tensor | None]
    ) -> tuple[list[Tensor], Tensor]:
        """Return the features of all levels, finest first, and those of the bottleneck."""
        x = inputs[0]
        encoded = []
        for level in range(LEVELS):
            block = self._part(stage, f"encoder_block_{level}")
            encoded.append(block(x, inputs[level], gates[level]))
            x = block.Conv_1(encoded[-1])
        for number in range(self.num_bottleneck_blocks):
            x = self._part(stage, f"global_block_{number}")(x)
        return encoded, x

    def _skips(self, stage: int, encoded: list[Tensor], gate: Tensor) -> list[Tensor]:
        """Return the decoder's skips: all encoder levels, gated by the coarser level."""
        skips = []
        for turn, level in enumerate(reversed(range(LEVELS))):
            signal = self._gathered(stage, turn, encoded, encoded[level])
            skip, gate = self._part(stage, f"cross_gating_block_{level}")(signal, gate)
            skips.insert(0, skip)
        return skips

    def _decode(self, stage: int, skips: list[Tensor], x: Tensor) -> list[Tensor]:
        decoded = []
        for turn, level in enumerate(reversed(range(LEVELS)), LEVELS):
            signal = self._gathered(
                stage,
                turn,
                skips[::-1],
                skips[level],
            )
            x = self._part(stage, f"decoder_block_{level}")(x, signal)
            decoded.insert(0, x)
        return decoded

    def _gathered(
        self,
        stage: int,
        turn: int,
        features: list[Tensor],
        like: Tensor,
    ) -> Tensor:
        """Concatenate three levels at the size and width of the level `like`.

        The authors number the resizes in the order of their calls, of which there are
        2 LEVELS per stage, LEVELS resizes each.
        """
        first = LEVELS * (2 * LEVELS * stage + turn)
        size = tuple(like.shape[1:3])
        resizes = (self.get_submodule(f"UpSampleRatio_{first + index}") for index in range(LEVELS))
        resized = [resize(x, size) for resize, x in zip(resizes, features)]
        return torch.cat(resized, -1)

    def _finished(
        self,
        stage: int,
        level: int,
        x: Tensor,
        image: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the features and the restored image of a level."""
        # The last stage has a plain output convolution, all others supervised attention.
        if stage < self.num_stages - 1:
            return self._part(stage, f"supervised_attention_module_{level}")(x, image)
        return x, self._part(stage, f"output_conv_{level}")(x) + image

    def _part(self, stage: int, name: str) -> nn.Module:
        return self.get_submodule(f"stage_{stage}_{name}")

    def _add(self, stage: int, name: str, part: nn.Module) -> None:
        self.add_module(f"stage_{stage}_{name}", part)

    def _add_inputs(self, stage: int) -> None:
        for level, (width, side) in enumerate(zip(self.widths, SIDES)):
            self._add(stage, f"input_conv_{level}", Conv(3, width, 3, padding=1))
            if stage:
                self._add(stage, f"input_fuse_sam_{level}", CrossGating(width, width, side))

    def _add_encoder(self, stage: int, groups: int) -> None:
        # A level takes the finer level's features in addition to those of its own image.
        finer = [self.widths[0], *self.widths]
        for level, (width, side) in enumerate(zip(self.widths, SIDES)):
            block = Block(
                finer[level] + width,
                width,
                side,
                groups,
                gated=stage > 0,
            )
            self._add(stage, f"encoder_block_{level}", block)
        for number in range(self.num_bottleneck_blocks):
            bottleneck = Bottleneck(self.widths[-1], SIDES[-1], groups)
            self._add(stage, f"global_block_{number}", bottleneck)

    def _add_decoder(self, stage: int, groups: int) -> None:
        # A level takes the coarser level's features, the coarsest those of the bottleneck.
        coarser = [*self.widths[1:], self.widths[-1]]
        is_last = stage == self.num_stages - 1
        for level, (width, side) in enumerate(zip(self.widths, SIDES)):
            gating = CrossGating(LEVELS * width, width, side, raised=coarser[level])
            self._add(stage, f"cross_gating_block_{level}", gating)
            block = DecoderBlock(
                coarser[level],
                LEVELS * width,
                width,
                side,
                groups,
            )
            self._add(stage, f"decoder_block_{level}", block)
            if is_last:
                self._add(stage, f"output_conv_{level}", Conv(width, 3, 3, padding=1))
            else:
                attention = SupervisedAttention(width)
                self._add(stage, f"supervised_attention_module_{level}", attention)

    def _add_resizes(self, stage: int) -> None:
        # (channels before, channels after) of the resizes of `_skips`, then of `_decode`.
        levels = list(reversed(self.widths))
        pairs = [(origin, width) for width in levels for origin in self.widths]
        pairs += [(origin, width) for width in levels for origin in levels]
        for number, (origin, width) in enumerate(pairs, len(pairs) * stage):
            self.add_module(f"UpSampleRatio_{number}", Resize(origin, width))
