"""NAFNet (Chen et al., Simple Baselines for Image Restoration, ECCV 2022), plain, steered by DA-CLIP, with SAR and CWP.

State-dict names are those of the authors' code, so that their weights load. The steered form
follows what the authors of DA-CLIP told of theirs, which was never released; what is unknown is
named at `SteeredBlock` and in docs/context.md. SAR and CWP: docs/sarcwp.md.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.archs.context import Context, DegradationPrompt, check_context, checked_inputs, unit
from wxr_plugin.archs.context_hooks import content_attention, zeroed
from wxr_plugin.archs.context_layers import PreNorm, Residual
from wxr_plugin.archs.cwp import WeatherPriors
from wxr_plugin.archs.sar import Gate, Masked, SoftGates, with_masks
from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped

PROMPT_WIDTH = 256
LOCAL_SHARE = 1.5
"""The window of NAFNetLocal is so many times the training size."""


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of every pixel."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(
            x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, 1e-6
        ).permute(0, 3, 1, 2)


class LocalMean(nn.Module):
    """Mean over a box of `size` pixels around each pixel; over everything in training, or where the box covers all.

    Test-time local converter (Chu et al., ECCV 2022): what was trained on crops sees crops in a
    large image too.
    """

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        rows = min(self.size, height)
        columns = min(self.size, width)
        if self.training or (rows, columns) == (height, width):
            return F.adaptive_avg_pool2d(x, 1)
        means = F.avg_pool2d(F.avg_pool2d(x, (rows, 1), stride=1), (1, columns), stride=1)
        missing = (width - means.shape[3], height - means.shape[2])
        return F.pad(
            means,
            [end for lack in missing for end in (lack // 2, (lack + 1) // 2)],
            mode="replicate",
        )


class NAFBlock(nn.Module):
    """The paper's figure 3(c): depthwise convolution, simple gate and channel attention; then a gated 1x1 layer."""

    def __init__(self, channels: int, pool: nn.Module):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.sca = nn.Sequential(
            pool,
            nn.Conv2d(channels, channels, 1),
        )
        self.conv4 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv5 = nn.Conv2d(channels, channels, 1)
        self.norm1 = LayerNorm2d(channels)
        self.norm2 = LayerNorm2d(channels)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(
        self, x: Tensor, prompt: Tensor | None = None, content: Tensor | None = None
    ) -> Tensor:
        first, second = self.steering(prompt)
        y = _gate(self.conv2(self.conv1(first(self.norm1(x)))))
        x = x + self.beta * self.conv3(self.attend(y, content))
        return x + self.gamma * self.conv5(_gate(self.conv4(second(self.norm2(x)))))

    def steering(self, prompt: Tensor | None) -> tuple:
        """What is done to the two normalised feature maps: nothing."""
        return _same, _same

    def attend(self, x: Tensor, content: Tensor | None) -> Tensor:
        """Simplified channel attention."""
        return x * self.sca(x)


class SteeredBlock(NAFBlock):
    """A block of DA-CLIP's NAFNet: the prompt scales and shifts both normalised maps, the content is attended to.

    From the authors' answers in their repository (issues 44, 45, 46, 108). Ours: the steering
    starts at zero, and the blocks that attend to the content in place of the channel attention are
    all of the middle ones.
    """

    def __init__(
        self,
        channels: int,
        pool: nn.Module,
        prompted: bool,
        context_dim: int | None,
    ):
        super().__init__(channels, pool)
        if prompted:
            self.mlp = nn.Sequential(
                _Gate(),
                zeroed(nn.Linear(PROMPT_WIDTH // 2, 4 * channels)),
            )
        if context_dim:
            del self.sca
            self.attention = Residual(PreNorm(channels, content_attention(channels, context_dim)))

    def steering(self, prompt: Tensor | None) -> tuple:
        if prompt is None:
            return _same, _same
        shift_1, scale_1, shift_2, scale_2 = self.mlp(prompt)[..., None, None].chunk(4, dim=1)
        return lambda x: torch.addcmul(shift_1, x, 1 + scale_1), lambda x: torch.addcmul(
            shift_2, x, 1 + scale_2
        )

    def attend(self, x: Tensor, content: Tensor | None) -> Tensor:
        if not hasattr(self, "attention"):
            return super().attend(x, content)
        return self.attention(x, content)


@register_arch
class NAFNet(nn.Module):
    """NAFNet: a U-Net of blocks without activation functions.

    Args:
        width: channels at full size; doubles with each level. 32 or 64 as published.
        enc_blk_nums, middle_blk_num, dec_blk_nums: blocks of each encoder level, of the middle, of
            each decoder level;
            published: [1, 1, 1, 28], 1, [1, 1, 1, 1] for GoPro and REDS, [2, 2, 4, 8], 12, [2, 2,
                2, 2] for SIDD.
        local_size: side of the training crops. In evaluation the channel attention then averages
            over 1.5 times as much instead of the whole image (NAFNetLocal, for GoPro and REDS 256);
            the weights are the same.
        context: which embeddings of a guide steer it: `content`, `degradation` or both of DA-CLIP,
            or `image` of CLIP (CWP); none as published.
        context_dim: their length: 512 for a ViT-B/32, 768 for a ViT-L/14, 1024 for RN50.
        sar: spatial or channel: soft masks on the residual of each encoder stage; none as
            published.
    """

    smoke = {"width": 4, "enc_blk_nums": [1, 1], "middle_blk_num": 1, "dec_blk_nums": [1, 1]}
    """Constructor arguments of a small instance for the tests of all networks."""
    smoke_context = {"width": 8}
    """Entries that replace those of `smoke` when the network takes a context."""

    def __init__(
        self,
        width: int = 32,
        enc_blk_nums: Sequence[int] = (1, 1, 1, 28),
        middle_blk_num: int = 1,
        dec_blk_nums: Sequence[int] = (1, 1, 1, 1),
        local_size: int | None = None,
        context: Sequence[str] = (),
        context_dim: int = 512,
        sar: str | None = None,
    ):
        super().__init__()
        if len(enc_blk_nums) != len(dec_blk_nums):
            raise ValueError(
                f"NAFNet: {len(enc_blk_nums)} encoder levels and {len(dec_blk_nums)} decoder levels"
            )
        self.context_inputs = checked_inputs(context)
        self.context_dim = context_dim
        self.local_size = local_size
        self.levels = len(enc_blk_nums)
        self.intro = nn.Conv2d(3, width, 3, padding=1)
        self.ending = nn.Conv2d(width, 3, 3, padding=1)
        self.encoders = nn.ModuleList(
            self._blocks(width, level, count) for level, count in enumerate(enc_blk_nums)
        )
        self.decoders = nn.ModuleList(
            self._blocks(width, self.levels - 1 - index, count)
            for index, count in enumerate(dec_blk_nums)
        )
        self.middle_blks = self._blocks(width, self.levels, middle_blk_num)
        widths = [width << level for level in range(self.levels)]
        self.ups = nn.ModuleList(up_layer(2 * channels) for channels in reversed(widths))
        self.downs = nn.ModuleList(nn.Conv2d(channels, 2 * channels, 2, 2) for channels in widths)
        if "degradation" in self.context_inputs:
            self.degradation = DegradationPrompt(context_dim, PROMPT_WIDTH)
        self.gates = SoftGates(widths, sar)
        self.priors = WeatherPriors(
            self.context_inputs, context_dim, [width << self.levels, *reversed(widths)]
        )

    @property
    def sar_widths(self) -> tuple[int, ...]:
        """Channels of the stages that give masks, the one at full size first; empty without SAR."""
        return self.gates.widths

    def forward(
        self, lq: Tensor, context: Context | None = None, *, masks: bool = False
    ) -> Tensor | Masked:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped.
        Sizes that are not a multiple of 2 ** levels are extended by zeros and cropped, as published.
        `context` is ignored by a network built without; otherwise raises ContextError if it does
        not fit. With `masks` the result is a Masked.
        """
        check_context(context, self.context_inputs, self.context_dim)
        padded = self._pad(lq)
        recorded = [] if masks else None
        restored = cropped(self._restore(padded, context, recorded), lq)
        return with_masks(restored, recorded, padded) if masks else restored

    def _restore(self, lq: Tensor, context: Context | None, recorded: list[Gate] | None) -> Tensor:
        tokens = self.priors.tokens(context)
        prompt = (
            self.degradation(context.degradation) if "degradation" in self.context_inputs else None
        )
        content = unit(context.content)[:, None] if "content" in self.context_inputs else None
        x = self.intro(lq)
        skips = []
        for level, (blocks, down) in enumerate(zip(self.encoders, self.downs)):
            skips.append(self.gates.gate(level, x, _through(blocks, x, prompt, content), recorded))
            x = down(skips[-1])
        x = self.priors.level(0, _through(self.middle_blks, x, prompt, content), tokens)
        for number, (blocks, up) in enumerate(zip(self.decoders, self.ups), start=1):
            x = self.priors.level(number, up(x) + skips.pop(), tokens)
            x = _through(blocks, x, prompt, content)
        return self.ending(x) + lq

    def _blocks(self, width: int, level: int, count: int) -> nn.ModuleList:
        context_dim = (
            self.context_dim if level == self.levels and "content" in self.context_inputs else None
        )
        prompted = "degradation" in self.context_inputs
        steered = (
            {"prompted": prompted, "context_dim": context_dim} if prompted or context_dim else None
        )
        kinds = (SteeredBlock, steered) if steered else (NAFBlock, {})
        return nn.ModuleList(
            kinds[0](width << level, self._pool(level), **kinds[1]) for _ in range(count)
        )

    def _pool(self, level: int) -> nn.Module:
        if not self.local_size:
            return nn.AdaptiveAvgPool2d(1)
        window = int(LOCAL_SHARE * self.local_size)
        return LocalMean((self.local_size >> level) * window // self.local_size)

    def _pad(self, x: Tensor) -> Tensor:
        stride = 1 << self.levels
        return F.pad(x, (0, -x.shape[3] % stride, 0, -x.shape[2] % stride))


class _Gate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _gate(x)


def _gate(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=1)
    return first * second


def _same(x: Tensor) -> Tensor:
    return x


def up_layer(channels: int) -> nn.Sequential:
    """Twice the size, half the channels."""
    return nn.Sequential(
        nn.Conv2d(channels, 2 * channels, 1, bias=False),
        nn.PixelShuffle(2),
    )


def _through(
    blocks: nn.ModuleList,
    x: Tensor,
    prompt: Tensor | None,
    content: Tensor | None,
) -> Tensor:
    for block in blocks:
        x = block(x, prompt, content)
    return x
