"""MSBDN: multi-scale boosted dehazing network with dense feature fusion (Dong et al., CVPR 2020).

It is WResVLM's backbone.

Four levels of halved size and doubled width, a bottleneck of residual blocks, a decoder that
strengthens, operates and subtracts (the paper's eq. 4), and at every level a back-projection of all
features made before it (its section 3.3). State-dict names are those of the authors' code, so that
their weights load. SAR and CWP: docs/sarcwp.md.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.archs.context import STEERING, Context, checked_inputs
from wxr_plugin.archs.context_hooks import ContextHooks
from wxr_plugin.archs.cwp import WeatherPriors
from wxr_plugin.archs.sar import Gate, Masked, SoftGates, with_masks
from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

LEVELS = 4
STRIDE = 2**LEVELS
SMALLEST = 2 * STRIDE
"""Smallest side: reflected borders of the bottleneck's 3x3 convolutions need 2x2 features."""


class ConvLayer(nn.Module):
    """Convolution with a reflected border."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
    ):
        super().__init__()
        self.reflection_pad = nn.ReflectionPad2d(kernel // 2)
        self.conv2d = nn.Conv2d(inputs, outputs, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2d(self.reflection_pad(x))


class UpsampleConvLayer(nn.Module):
    """Transposed convolution from n to 2 n + 1 pixels and a bilinear resize to `size` (H, W)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv2d = nn.ConvTranspose2d(inputs, outputs, 3, stride=2)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        return F.interpolate(self.conv2d(x), size=size, mode="bilinear", align_corners=False)


class ResidualBlock(nn.Module):
    """x + 0.1 conv(PReLU(conv(x)))."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = ConvLayer(channels, channels, 3)
        self.conv2 = ConvLayer(channels, channels, 3)
        self.relu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.conv1(x))
        return x + 0.1 * self.conv2(hidden)


class DownBlock(nn.Module):
    """Strided 4x4 convolution and PReLU: half the size."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 4, 2, 1)
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x))


class UpBlock(nn.Module):
    """Transposed 4x4 convolution and PReLU: twice the size."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.deconv = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.deconv(x))


class DenseFusion(nn.Module):
    """Back-projection with stored features: f <- f + back(there(f) - stored), farthest one first.

    Args:
        channels: channels of the fused feature.
        stored: number of stored features; the nearest has twice (or half) the size and half (or
            twice) the channels of the fused one, and so on.
        finer: the stored features are finer than the fused one (encoder), else coarser (decoder).
    """

    def __init__(
        self,
        channels: int,
        stored: int,
        finer: bool,
    ):
        super().__init__()
        self.finer = finer
        if finer:
            widths = [channels >> step for step in range(stored + 1)]
        else:
            widths = [channels << step for step in range(stored + 1)]
        pairs = list(pairwise(widths))
        there, back = (UpBlock, DownBlock) if finer else (DownBlock, UpBlock)
        names = ("up_convs", "down_convs") if finer else ("down_convs", "up_convs")
        self.add_module(names[0], nn.ModuleList(there(near, far) for near, far in pairs))
        self.add_module(names[1], nn.ModuleList(back(far, near) for near, far in pairs))

    def forward(self, feature: Tensor, memory: list[Tensor]) -> Tensor:
        if self.finer:
            there, back = self.up_convs, self.down_convs
        else:
            there, back = self.down_convs, self.up_convs
        for index, stored in enumerate(memory):
            # Steps of a factor of two between the fused and the stored feature.
            distance = len(memory) - index
            missing = feature
            for block in there[:distance]:
                missing = block(missing)
            missing = missing - stored
            for block in reversed(back[:distance]):
                missing = block(missing)
            feature = feature + missing
        return feature


class DenseLayer(nn.Module):
    """Concatenation of the input and the ReLU of its 3x3 convolution."""

    def __init__(self, inputs: int, growth: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        grown = F.relu(self.conv(x))
        return torch.cat((x, grown), 1)


class ResidualDenseBlock(nn.Module):
    """Four dense layers of growth `channels`, a 1x1 convolution, and the input added."""

    def __init__(self, channels: int, layers: int = 4):
        super().__init__()
        widths = [channels * (i + 1) for i in range(layers)]
        self.dense_layers = nn.Sequential(*(DenseLayer(width, channels) for width in widths))
        self.conv_1x1 = nn.Conv2d(channels * (layers + 1), channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_1x1(self.dense_layers(x))


@register_arch
class MSBDN(nn.Module):
    """Multi-scale boosted dehazing network, in its two published forms.

    Args:
        variant: 'dff' fuses all channels (published file MSBDN-DFF-v1-1); 'rdff' fuses the first
            half of them and gives the second half to a residual dense block (MSBDN-RDFF, also the
            network of TKL).
        width: channels at full size, 16 as published; it doubles at each of the four levels. Even
            for 'rdff'.
        bottleneck_blocks: residual blocks at 1/16 of the size, 18 as published.
        stage_blocks: residual blocks of each encoder and decoder stage, 3 as published.
        global_residual: add the input to the output and start from the identity (last convolution
            zero). Our choice, for short trainings; the published network has none.
        context: embeddings of a guide that steer the network: `content`, `degradation` or both of
            DA-CLIP, or `image` of CLIP (CWP); none as published.
        context_dim: length of these embeddings: 512 for a ViT-B/32, 768 for a ViT-L/14, 1024 for
            RN50.
        sar: spatial, channel or extra: soft masks on the residual of each encoder stage; none as
            published.
    """

    smoke = {
        "variant": "rdff",
        "width": 4,
        "bottleneck_blocks": 1,
        "stage_blocks": 1,
    }
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(
        self,
        variant: str = "dff",
        width: int = 16,
        bottleneck_blocks: int = 18,
        stage_blocks: int = 3,
        global_residual: bool = False,
        context: Sequence[str] = (),
        context_dim: int = 512,
        sar: str | None = None,
    ):
        super().__init__()
        if variant not in ("dff", "rdff"):
            raise ValueError(f"MSBDN: variant is 'dff' or 'rdff', not {variant!r}")
        if width < 1 or (variant == "rdff" and width % 2):
            raise ValueError(f"MSBDN: width must be positive, and even for 'rdff'; it is {width}")
        self.context_inputs = checked_inputs(context)
        self.context_dim = context_dim
        self.split = variant == "rdff"
        self.global_residual = global_residual
        self._build_encoder(width, stage_blocks)
        # Keys of the bottleneck are dehaze.res0 and so on.
        self.dehaze = nn.Sequential()
        for number in range(bottleneck_blocks):
            self.dehaze.add_module(f"res{number}", ResidualBlock(width * STRIDE))
        self._build_decoder(width, stage_blocks)
        if global_residual:
            nn.init.zeros_(self.conv_output.conv2d.weight)
            nn.init.zeros_(self.conv_output.conv2d.bias)
        widths = [width << i for i in range(LEVELS + 1)]
        self.is_steered = any(name in STEERING for name in self.context_inputs)
        if self.is_steered:
            self.context = ContextHooks(self.context_inputs, context_dim, widths)
        self.gates = SoftGates(widths[:-1], sar)
        self.priors = WeatherPriors(self.context_inputs, context_dim, widths[::-1])

    @property
    def sar_widths(self) -> tuple[int, ...]:
        """Channels of the stages that give masks, the one at full size first; empty without SAR."""
        return self.gates.widths

    def _build_encoder(self, width: int, stage_blocks: int) -> None:
        self.conv_input = ConvLayer(3, width, 11)
        self.dense0 = _stage(width, stage_blocks)
        for level in range(1, LEVELS + 1):
            channels = width << level
            down = ConvLayer(channels // 2, channels, 3, stride=2)
            self.add_module(f"conv{1 << level}x", down)
            self._add_fusion(
                f"conv{level}",
                f"fusion{level}",
                channels,
                stored=level,
                finer=True,
            )
            if level < LEVELS:
                self.add_module(f"dense{level}", _stage(channels, stage_blocks))

    def _build_decoder(self, width: int, stage_blocks: int) -> None:
        for level in range(LEVELS, 0, -1):
            channels = width << (level - 1)
            self.add_module(f"convd{1 << level}x", UpsampleConvLayer(2 * channels, channels))
            self.add_module(f"dense_{level}", _stage(channels, stage_blocks))
            stored = LEVELS + 1 - level
            self._add_fusion(
                f"conv_{level}",
                f"fusion_{level}",
                channels,
                stored,
                finer=False,
            )
        self.conv_output = ConvLayer(width, 3, 3)

    def _add_fusion(
        self,
        dense: str,
        fusion: str,
        channels: int,
        stored: int,
        finer: bool,
    ) -> None:
        if self.split:
            # The first half of the channels is fused, the second one refined by the dense block.
            channels = channels // 2
            self.add_module(dense, ResidualDenseBlock(channels))
        self.add_module(fusion, DenseFusion(channels, stored, finer))

    def forward(
        self, lq: Tensor, context: Context | None = None, *, masks: bool = False
    ) -> Tensor | Masked:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped. Sizes that are not
        a multiple of 16 (or below 32) are extended right and below by reflection, or by repetition
        where the image is too small for it, and the result is cropped (our choice). A network built
        without `context` ignores it. With `masks` the result is a Masked.

        Raises:
            ContextError: `context` does not fit the network.
        """
        padded = extended(lq, STRIDE, SMALLEST)
        recorded = [] if masks else None
        restored = cropped(self._restore(padded, context, recorded), lq)
        return with_masks(restored, recorded, padded) if masks else restored

    def _restore(
        self, x: Tensor, context: Context | None = None, recorded: list[Gate] | None = None
    ) -> Tensor:
        prompt = self.context.prepare(context) if self.is_steered else None
        tokens = self.priors.tokens(context)
        *skips, deepest = self._encode(x, prompt, recorded)
        if self.is_steered:
            deepest = self.context.deepest(deepest, context)
        feature = self._boost(deepest)
        feature = self.priors.level(0, feature, tokens)
        feature = self._decode(feature, skips, tokens)
        restored = self.conv_output(feature)
        return restored + x if self.global_residual else restored

    def _encode(
        self, x: Tensor, prompt: Tensor | None, recorded: list[Gate] | None = None
    ) -> list[Tensor]:
        """Return the features of all levels, full size first."""
        feature = self.conv_input(x)
        # Features before each stage, for the fusions of coarser levels.
        memory = [self._remembered(feature)]
        feature = self._stage(0, feature, recorded)
        skips = [self._steered(0, feature, prompt)]
        for level in range(1, LEVELS + 1):
            feature = getattr(self, f"conv{1 << level}x")(skips[-1])
            feature = self._fuse(f"conv{level}", f"fusion{level}", feature, memory)
            memory.append(self._remembered(feature))
            if level < LEVELS:
                feature = self._stage(level, feature, recorded)
            skips.append(self._steered(level, feature, prompt))
        return skips

    def _stage(self, level: int, feature: Tensor, recorded: list[Gate] | None) -> Tensor:
        refined = getattr(self, f"dense{level}")(feature) + feature
        return self.gates.gate(level, feature, refined, recorded)

    def _steered(self, level: int, feature: Tensor, prompt: Tensor | None) -> Tensor:
        return feature if prompt is None else self.context.level(level, feature, prompt)

    def _boost(self, feature: Tensor) -> Tensor:
        # Strengthen, operate, subtract (eq. 4), with the feature itself as the estimate.
        strengthened = 2 * feature
        return self.dehaze(strengthened) + strengthened - feature

    def _decode(self, feature: Tensor, skips: list[Tensor], tokens: Tensor | None = None) -> Tensor:
        memory = [self._remembered(feature)]
        for level in range(LEVELS, 0, -1):
            skip = skips[level - 1]
            up = getattr(self, f"convd{1 << level}x")
            raised = up(feature, skip.shape[-2:])
            # j = G(i + j') - j', with the skip i and the estimate j' of the coarser level (eq. 4).
            strengthened = raised + skip
            operated = getattr(self, f"dense_{level}")(strengthened) + strengthened
            boosted = operated - raised
            feature = self._fuse(f"conv_{level}", f"fusion_{level}", boosted, memory)
            feature = self.priors.level(LEVELS + 1 - level, feature, tokens)
            memory.append(self._remembered(feature))
        return feature

    def _fuse(
        self,
        dense: str,
        fusion: str,
        feature: Tensor,
        memory: list[Tensor],
    ) -> Tensor:
        if not self.split:
            return getattr(self, fusion)(feature, memory)
        first, second = feature.chunk(2, 1)
        fused = getattr(self, fusion)(first, memory)
        refined = getattr(self, dense)(second)
        return torch.cat((fused, refined), 1)

    def _remembered(self, feature: Tensor) -> Tensor:
        return feature.chunk(2, 1)[0] if self.split else feature


def _stage(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
