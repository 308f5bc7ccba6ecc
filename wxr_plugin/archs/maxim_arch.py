"""MAXIM (Tu et al., MAXIM: Multi-Axis MLP for Image Processing, CVPR 2022).

Two or three U-Nets one after another, whose blocks mix places by MLPs over a grid and within
patches. State-dict names are those of the authors' JAX code; `maxim_weights.from_jax` converts
their weights (Apache-2.0).
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
"""Side of grid and patches on each level; that of the smallest size is the last one's."""


@register_arch
class MAXIM(nn.Module):
    """MAXIM with an image of every stage and level, of which `forward` takes the last.

    Args:
        features: channels at full size, a multiple of 4; doubles with each of the three levels.
        num_stages: 2 (deraining, dehazing, low light, retouching) or 3 (denoising, deblurring) as
            published.
        num_groups: multi-axis MLPs of each block.
        num_bottleneck_blocks: blocks at the smallest size.
    """

    smoke = {"features": 4, "num_stages": 2, "num_groups": 1, "num_bottleneck_blocks": 1}
    """Constructor arguments of a small instance for the tests of all networks."""
    unused = tuple(f"stage_{stage}_output_conv_{level}." for stage in (1, 2) for level in (1, 2))
    """How the names of parameters begin that `forward` does not depend on: those of the last stage's smaller images."""

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

        H and W are arbitrary; the result has the same shape and is not clamped.
        As in the authors' test script: reflected to even sides, then on all four sides to multiples
        of 64, and cropped. Where an image is too small to be reflected its border is repeated, our
        choice.
        """
        image = extended(lq, 2)
        rows, columns = (-side % STRIDE // 2 for side in image.shape[-2:])
        mode = "reflect" if rows < image.shape[-2] and columns < image.shape[-1] else "replicate"
        restored = self.published(F.pad(image, (columns, columns, rows, rows), mode=mode))[-1][-1]
        return cropped(restored[..., rows:, columns:], lq)

    def published(self, image: Tensor) -> list[list[Tensor]]:
        """The authors' call: sides are multiples of 64; the images of every stage at a quarter, half and full size."""
        scales = [
            F.interpolate(image, scale_factor=0.5**level, mode="nearest-exact")
            for level in range(1, LEVELS)
        ]
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
        """A stage's images, and what the next one takes: encoder, decoder and attended features; all finest first."""
        inputs = [
            self._part(stage, f"input_conv_{level}")(images[level]) for level in range(LEVELS)
        ]
        if before:
            fused = enumerate(zip(inputs, before[2]))
            inputs = [
                self._part(stage, f"input_fuse_sam_{level}")(x, sam)[0] for level, (x, sam) in fused
            ]
        told = (
            [encoder + decoder for encoder, decoder in zip(*before[:2])]
            if before
            else [None] * LEVELS
        )
        encoded, x = self._encode(stage, inputs, told)
        decoded = self._decode(stage, self._skips(stage, encoded, x), x)
        attended, restored = zip(
            *(self._finished(stage, level, decoded[level], images[level]) for level in range(3))
        )
        return list(restored), [encoded, decoded, list(attended)]

    def _encode(
        self, stage: int, inputs: list[Tensor], told: list[Tensor | None]
    ) -> tuple[list[Tensor], Tensor]:
        x = inputs[0]
        encoded = []
        for level in range(LEVELS):
            block = self._part(stage, f"encoder_block_{level}")
            encoded.append(block(x, inputs[level], told[level]))
            x = block.Conv_1(encoded[-1])
        for number in range(self.num_bottleneck_blocks):
            x = self._part(stage, f"global_block_{number}")(x)
        return encoded, x

    def _skips(self, stage: int, encoded: list[Tensor], gate: Tensor) -> list[Tensor]:
        """What the decoder takes on each level: all encoder levels, gated from below."""
        skips = []
        for turn, level in enumerate(reversed(range(LEVELS))):
            signal = self._gathered(stage, turn, encoded, encoded[level])
            skip, gate = self._part(stage, f"cross_gating_block_{level}")(signal, gate)
            skips.insert(0, skip)
        return skips

    def _decode(self, stage: int, skips: list[Tensor], x: Tensor) -> list[Tensor]:
        decoded = []
        for turn, level in enumerate(reversed(range(LEVELS)), LEVELS):
            signal = self._gathered(stage, turn, skips[::-1], skips[level])
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
        """Three levels at the size and width of one, joined; the authors number the resizes as they are called."""
        first = LEVELS * (2 * LEVELS * stage + turn)
        size = tuple(like.shape[1:3])
        resizes = (self.get_submodule(f"UpSampleRatio_{first + index}") for index in range(LEVELS))
        return torch.cat([resize(x, size) for resize, x in zip(resizes, features)], -1)

    def _finished(
        self,
        stage: int,
        level: int,
        x: Tensor,
        image: Tensor,
    ) -> tuple[Tensor, Tensor]:
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
        coming = [self.widths[0], *self.widths]
        for level, (width, side) in enumerate(zip(self.widths, SIDES)):
            block = Block(coming[level] + width, width, side, groups, gated=stage > 0)
            self._add(stage, f"encoder_block_{level}", block)
        for number in range(self.num_bottleneck_blocks):
            self._add(
                stage, f"global_block_{number}", Bottleneck(self.widths[-1], SIDES[-1], groups)
            )

    def _add_decoder(self, stage: int, groups: int) -> None:
        coming = [*self.widths[1:], self.widths[-1]]
        last = stage == self.num_stages - 1
        for level, (width, side) in enumerate(zip(self.widths, SIDES)):
            gating = CrossGating(LEVELS * width, width, side, raised=coming[level])
            self._add(stage, f"cross_gating_block_{level}", gating)
            self._add(
                stage,
                f"decoder_block_{level}",
                DecoderBlock(coming[level], LEVELS * width, width, side, groups),
            )
            ending = Conv(width, 3, 3, padding=1) if last else SupervisedAttention(width)
            self._add(
                stage,
                f"output_conv_{level}" if last else f"supervised_attention_module_{level}",
                ending,
            )

    def _add_resizes(self, stage: int) -> None:
        levels = list(reversed(self.widths))
        pairs = [(origin, width) for width in levels for origin in self.widths]
        pairs += [(origin, width) for width in levels for origin in levels]
        for number, (origin, width) in enumerate(pairs, len(pairs) * stage):
            self.add_module(f"UpSampleRatio_{number}", Resize(origin, width))
