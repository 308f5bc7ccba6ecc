"""NAFNet (Chen et al., ECCV 2022): plain, steered by DA-CLIP, with SAR and CWP.

State-dict names are those of the authors' code, so that their weights load. The steered form
follows the description by the authors of DA-CLIP, who never released theirs; `SteeredBlock` and
docs/context.md name the unknown details. SAR and CWP: docs/sarcwp.md.
"""

from collections.abc import Callable, Sequence
from functools import partial

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
"""Length of the degradation prompt."""
LOCAL_SHARE = 1.5
"""Ratio between the window of NAFNetLocal and the side of the training crops."""


Steer = Callable[[Tensor], Tensor]


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of every pixel."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.permute(0, 2, 3, 1)
        normalised = F.layer_norm(
            pixels,
            self.weight.shape,
            self.weight,
            self.bias,
            1e-6,
        )
        return normalised.permute(0, 3, 1, 2)


class LocalMean(nn.Module):
    """Mean over a box of `size` pixels around each pixel; in training, over the whole map.

    Test-time local converter (Chu et al., ECCV 2022): a network that was trained on crops computes
    its means over areas of about that size in a large image, too.
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
        # A box mean is separable: first along columns, then along rows.
        means = F.avg_pool2d(x, (rows, 1), stride=1)
        means = F.avg_pool2d(means, (1, columns), stride=1)
        # Boxes that would leave the image are missing; the nearest ones take their place.
        across = width - means.shape[3]
        down = height - means.shape[2]
        left = across // 2
        above = down // 2
        borders = (left, across - left, above, down - above)
        return F.pad(means, borders, mode="replicate")


class NAFBlock(nn.Module):
    """The paper's figure 3(c): gated depthwise layer with channel attention, gated 1x1 layer."""

    def __init__(self, channels: int, pool: nn.Module):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv2 = nn.Conv2d(
            2 * channels,
            2 * channels,
            3,
            padding=1,
            groups=2 * channels,
        )
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.sca = nn.Sequential(
            pool,
            nn.Conv2d(channels, channels, 1),
        )
        self.conv4 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv5 = nn.Conv2d(channels, channels, 1)
        self.norm1 = LayerNorm2d(channels)
        self.norm2 = LayerNorm2d(channels)
        # Both branches start at zero: a new block is the identity.
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(
        self, x: Tensor, prompt: Tensor | None = None, content: Tensor | None = None
    ) -> Tensor:
        steer_first, steer_second = self.steering(prompt)
        y = steer_first(self.norm1(x))
        y = _gate(self.conv2(self.conv1(y)))
        y = self.attend(y, content)
        x = x + self.beta * self.conv3(y)
        y = steer_second(self.norm2(x))
        y = _gate(self.conv4(y))
        return x + self.gamma * self.conv5(y)

    def steering(self, prompt: Tensor | None) -> tuple[Steer, Steer]:
        """Return functions of the two normalised feature maps; here the identity."""
        return _same, _same

    def attend(self, x: Tensor, content: Tensor | None) -> Tensor:
        """Apply simplified channel attention to `x` (N, C, H, W); the content is ignored."""
        return x * self.sca(x)


class SteeredBlock(NAFBlock):
    """Block of DA-CLIP's NAFNet, modulated by the prompt and attending to the content.

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

    def steering(self, prompt: Tensor | None) -> tuple[Steer, Steer]:
        if prompt is None:
            return _same, _same
        # (N, 4 C) -> four maps (N, C, 1, 1)
        modulation = self.mlp(prompt)[..., None, None]
        shift_1, scale_1, shift_2, scale_2 = modulation.chunk(4, dim=1)

        def steer_first(x: Tensor) -> Tensor:
            return torch.addcmul(shift_1, x, 1 + scale_1)

        def steer_second(x: Tensor) -> Tensor:
            return torch.addcmul(shift_2, x, 1 + scale_2)

        return steer_first, steer_second

    def attend(self, x: Tensor, content: Tensor | None) -> Tensor:
        if not hasattr(self, "attention"):
            return super().attend(x, content)
        return self.attention(x, content)


@register_arch
class NAFNet(nn.Module):
    """NAFNet: a U-Net of blocks without activation functions.

    Args:
        width: channels at full size; doubles with each level. 32 or 64 as published.
        enc_blk_nums: blocks of each encoder level, full size first. Published: [1, 1, 1, 28] for
            GoPro and REDS, [2, 2, 4, 8] for SIDD.
        middle_blk_num: blocks of the middle. Published: 1 and 12.
        dec_blk_nums: blocks of each decoder level, the coarsest first. Published: [1, 1, 1, 1] and
            [2, 2, 2, 2].
        local_size: side of the training crops. In evaluation the channel attention then averages
            over windows of 1.5 times that side instead of the whole image (NAFNetLocal, for GoPro
            and REDS 256); the weights are the same.
        context: embeddings of a guide that steer the network: `content`, `degradation` or both of
            DA-CLIP, or `image` of CLIP (CWP); none as published.
        context_dim: length of these embeddings: 512 for a ViT-B/32, 768 for a ViT-L/14, 1024 for
            RN50.
        sar: spatial, channel or extra: soft masks on the residual of each encoder stage; none as
            published.
    """

    smoke = {
        "width": 4,
        "enc_blk_nums": [1, 1],
        "middle_blk_num": 1,
        "dec_blk_nums": [1, 1],
    }
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
        # The middle and all decoder levels attend to the priors.
        decoder_widths = [width << self.levels, *reversed(widths)]
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
        a multiple of 2 ** levels are extended by zeros and cropped, as published. A network built
        without `context` ignores it. With `masks` the result is a Masked.

        Raises:
            ContextError: `context` does not fit the network.
        """
        check_context(context, self.context_inputs, self.context_dim)
        padded = self._pad(lq)
        recorded = [] if masks else None
        restored = cropped(self._restore(padded, context, recorded), lq)
        return with_masks(restored, recorded, padded) if masks else restored

    def _restore(self, lq: Tensor, context: Context | None, recorded: list[Gate] | None) -> Tensor:
        tokens = self.priors.tokens(context)
        prompt = content = None
        if "degradation" in self.context_inputs:
            prompt = self.degradation(context.degradation)
        if "content" in self.context_inputs:
            # One token for each photo: (N, 1, context_dim).
            content = unit(context.content)[:, None]
        x = self.intro(lq)
        skips = []
        for level, (blocks, down) in enumerate(zip(self.encoders, self.downs)):
            refined = _through(blocks, x, prompt, content)
            x = self.gates.gate(level, x, refined, recorded)
            skips.append(x)
            x = down(x)
        x = _through(self.middle_blks, x, prompt, content)
        x = self.priors.level(0, x, tokens)
        for number, (blocks, up) in enumerate(zip(self.decoders, self.ups), start=1):
            x = up(x) + skips.pop()
            x = self.priors.level(number, x, tokens)
            x = _through(blocks, x, prompt, content)
        return self.ending(x) + lq

    def _blocks(self, width: int, level: int, count: int) -> nn.ModuleList:
        # Only the blocks of the middle attend to the content.
        attends = level == self.levels and "content" in self.context_inputs
        context_dim = self.context_dim if attends else None
        prompted = "degradation" in self.context_inputs
        make_block: Callable[..., NAFBlock] = NAFBlock
        if prompted or attends:
            make_block = partial(SteeredBlock, prompted=prompted, context_dim=context_dim)
        channels = width << level
        return nn.ModuleList(make_block(channels, self._pool(level)) for _ in range(count))

    def _pool(self, level: int) -> nn.Module:
        if not self.local_size:
            return nn.AdaptiveAvgPool2d(1)
        # The window at full size, in pixels; smaller levels have as much of the scene.
        window = int(LOCAL_SHARE * self.local_size)
        return LocalMean((self.local_size >> level) * window // self.local_size)

    def _pad(self, x: Tensor) -> Tensor:
        stride = 1 << self.levels
        height, width = x.shape[-2:]
        return F.pad(x, (0, -width % stride, 0, -height % stride))


class _Gate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _gate(x)


def _gate(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=1)
    return first * second


def _same(x: Tensor) -> Tensor:
    return x


def up_layer(channels: int) -> nn.Sequential:
    """Return a 1x1 convolution and a pixel shuffle: twice the size, half the channels."""
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
