"""MSBDN: multi-scale boosted dehazing network with dense feature fusion (Dong et al., CVPR 2020), WResVLM's backbone.

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
SMALLEST = (
    2 * STRIDE
)  # the reflected border of the bottleneck's 3x3 convolutions needs 2x2 features


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
    """Transposed convolution, which gives 2n+1, and a bilinear resize to the `size` (H, W) of the skip."""

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
        return x + 0.1 * self.conv2(self.relu(self.conv1(x)))


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
    """Back-projects what a feature lacks of each stored one: f <- f + back(there(f) - stored), farthest stored first.

    `finer`: the stored features are finer than the fused one (encoder), else coarser (decoder).
    `stored` of them exist, each twice the size (or half) and half the width (or twice) of the one
    before.
    """

    def __init__(
        self,
        channels: int,
        stored: int,
        finer: bool,
    ):
        super().__init__()
        self.finer = finer
        widths = (
            [channels >> i for i in range(stored + 1)]
            if finer
            else [channels << i for i in range(stored + 1)]
        )
        pairs = list(pairwise(widths))
        there, back = (UpBlock, DownBlock) if finer else (DownBlock, UpBlock)
        names = ("up_convs", "down_convs") if finer else ("down_convs", "up_convs")
        self.add_module(names[0], nn.ModuleList(there(near, far) for near, far in pairs))
        self.add_module(names[1], nn.ModuleList(back(far, near) for near, far in pairs))

    def forward(self, feature: Tensor, memory: list[Tensor]) -> Tensor:
        there, back = (
            (self.up_convs, self.down_convs) if self.finer else (self.down_convs, self.up_convs)
        )
        for index, stored in enumerate(memory):
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
    """Concatenates to its input the ReLU of a 3x3 convolution of it."""

    def __init__(self, inputs: int, growth: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, F.relu(self.conv(x))), 1)


class ResidualDenseBlock(nn.Module):
    """Four dense layers of growth `channels`, a 1x1 convolution, and the input added."""

    def __init__(self, channels: int, layers: int = 4):
        super().__init__()
        self.dense_layers = nn.Sequential(
            *(DenseLayer(channels * (i + 1), channels) for i in range(layers))
        )
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
        context: which embeddings of a guide steer it: `content`, `degradation` or both of DA-CLIP,
            or `image` of CLIP (CWP); none as published.
        context_dim: their length: 512 for a ViT-B/32, 768 for a ViT-L/14, 1024 for RN50.
        sar: spatial or channel: soft masks on the residual of each encoder stage; none as
            published.
    """

    smoke = {"variant": "rdff", "width": 4, "bottleneck_blocks": 1, "stage_blocks": 1}
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
        blocks = [(f"res{i}", ResidualBlock(width * STRIDE)) for i in range(bottleneck_blocks)]
        self.dehaze = nn.Sequential()
        for name, block in blocks:
            self.dehaze.add_module(name, block)
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
            self.add_module(f"conv{1 << level}x", ConvLayer(channels // 2, channels, 3, stride=2))
            self._add_fusion(f"conv{level}", f"fusion{level}", channels, stored=level, finer=True)
            if level < LEVELS:
                self.add_module(f"dense{level}", _stage(channels, stage_blocks))

    def _build_decoder(self, width: int, stage_blocks: int) -> None:
        for level in range(LEVELS, 0, -1):
            channels = width << (level - 1)
            self.add_module(f"convd{1 << level}x", UpsampleConvLayer(2 * channels, channels))
            self.add_module(f"dense_{level}", _stage(channels, stage_blocks))
            self._add_fusion(
                f"conv_{level}", f"fusion_{level}", channels, stored=LEVELS + 1 - level, finer=False
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
            self.add_module(dense, ResidualDenseBlock(channels // 2))
        self.add_module(
            fusion, DenseFusion(channels // 2 if self.split else channels, stored, finer)
        )

    def forward(
        self, lq: Tensor, context: Context | None = None, *, masks: bool = False
    ) -> Tensor | Masked:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped.
        Sizes that are no multiple of 16 (or below 32) are extended right and below by reflection,
        or by repetition where the image is too small for it, and the result is cropped (our
        choice). `context` is ignored by a network built without; otherwise raises ContextError if
        it does not fit. With `masks` the result is a Masked.
        """
        padded = extended(lq, STRIDE, SMALLEST)
        found = [] if masks else None
        restored = cropped(self._restore(padded, context, found), lq)
        return with_masks(restored, found, padded) if masks else restored

    def _restore(
        self, x: Tensor, context: Context | None = None, found: list[Gate] | None = None
    ) -> Tensor:
        prompt = self.context.prepare(context) if self.is_steered else None
        tokens = self.priors.tokens(context)
        *skips, deepest = self._encode(x, prompt, found)
        if self.is_steered:
            deepest = self.context.deepest(deepest, context)
        feature = self.priors.level(0, self._boost(deepest), tokens)
        restored = self.conv_output(self._decode(feature, skips, tokens))
        return restored + x if self.global_residual else restored

    def _encode(
        self, x: Tensor, prompt: Tensor | None, found: list[Gate] | None = None
    ) -> list[Tensor]:
        feature = self.conv_input(x)
        memory = [self._remembered(feature)]
        skips = [self._steered(0, self._stage(0, feature, found), prompt)]
        for level in range(1, LEVELS + 1):
            feature = getattr(self, f"conv{1 << level}x")(skips[-1])
            feature = self._fuse(f"conv{level}", f"fusion{level}", feature, memory)
            memory.append(self._remembered(feature))
            if level < LEVELS:
                feature = self._stage(level, feature, found)
            skips.append(self._steered(level, feature, prompt))
        return skips

    def _stage(self, level: int, feature: Tensor, found: list[Gate] | None) -> Tensor:
        return self.gates.gate(
            level, feature, getattr(self, f"dense{level}")(feature) + feature, found
        )

    def _steered(self, level: int, feature: Tensor, prompt: Tensor | None) -> Tensor:
        return feature if prompt is None else self.context.level(level, feature, prompt)

    def _boost(self, feature: Tensor) -> Tensor:
        strengthened = 2 * feature
        return self.dehaze(strengthened) + strengthened - feature

    def _decode(self, feature: Tensor, skips: list[Tensor], tokens: Tensor | None = None) -> Tensor:
        memory = [self._remembered(feature)]
        for level in range(LEVELS, 0, -1):
            skip = skips[level - 1]
            raised = getattr(self, f"convd{1 << level}x")(feature, skip.shape[-2:])
            strengthened = raised + skip
            boosted = getattr(self, f"dense_{level}")(strengthened) + strengthened - raised
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
        return torch.cat((getattr(self, fusion)(first, memory), getattr(self, dense)(second)), 1)

    def _remembered(self, feature: Tensor) -> Tensor:
        return feature.chunk(2, 1)[0] if self.split else feature


def _stage(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
