"""MIRNet (Zamir et al., Learning Enriched Features for Real Image Restoration, ECCV 2020).

Three streams at full, half and quarter size exchange features. State-dict names are those of the
authors' code, so that their weights load. The weights are under the Academic Public License, for
non-commercial use, passed on under the same licence only; the authors' blur is under CC BY-NC-SA
4.0. MIRNet-v2, which spandrel has, is another network.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

STREAMS = 3
STRIDE = 4
REDUCTION = 8
"""Factor between the channels and the hidden channels of attention and fusion."""
BLUR = (1.0, 2.0, 1.0)
"""Binomial filter before a halving, not normalised."""


class Blur(nn.Module):
    """Binomial blur with stride 2: half the size. The filter is part of the state dict."""

    def __init__(self, channels: int):
        super().__init__()
        row = torch.tensor(BLUR) / sum(BLUR)
        self.register_buffer("filt", torch.outer(row, row).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(padded, self.filt, stride=2, groups=x.shape[1])


class Halved(nn.Module):
    """Sum of two paths to half the size and twice the channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.top = nn.Sequential(
            _conv(channels, channels, 1),
            nn.PReLU(),
            _conv(channels, channels),
            nn.PReLU(),
            Blur(channels),
            _conv(channels, 2 * channels, 1),
        )
        self.bot = nn.Sequential(
            Blur(channels),
            _conv(channels, 2 * channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.top(x) + self.bot(x)


class Doubled(nn.Module):
    """Sum of two paths to twice the size and half the channels."""

    def __init__(self, channels: int):
        super().__init__()
        raised = nn.ConvTranspose2d(
            channels,
            channels,
            3,
            stride=2,
            padding=1,
            output_padding=1,
            bias=False,
        )
        self.top = nn.Sequential(
            _conv(channels, channels, 1),
            nn.PReLU(),
            raised,
            nn.PReLU(),
            _conv(channels, channels // 2, 1),
        )
        self.bot = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            _conv(channels, channels // 2, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.top(x) + self.bot(x)


class Steps(nn.Module):
    """Resampling from one stream's size and width to another's, in steps of a factor of two."""

    def __init__(self, channels: int, steps: int):
        super().__init__()
        if steps > 0:
            layers = [Halved(channels << step) for step in range(steps)]
        else:
            layers = [Doubled(channels >> step) for step in range(-steps)]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class SpatialAttention(nn.Module):
    """Weights of pixels from the maximum and the mean of their channels."""

    def __init__(self) -> None:
        super().__init__()
        # The nesting gives the authors' key, spatial.conv.weight.
        self.spatial = nn.Module()
        self.spatial.conv = _conv(2, 1, 5)

    def forward(self, x: Tensor) -> Tensor:
        largest = x.amax(1, keepdim=True)
        mean = x.mean(1, keepdim=True)
        weights = self.spatial.conv(torch.cat((largest, mean), 1))
        return x * weights.sigmoid()


class ChannelAttention(nn.Module):
    """Weights of channels from the means of all channels (squeeze and excitation)."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = channels // REDUCTION
        self.conv_du = nn.Sequential(
            _conv(channels, hidden, 1),
            nn.ReLU(),
            _conv(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv_du(x.mean((2, 3), keepdim=True))


class DualAttention(nn.Module):
    """The paper's DAU: spatial and channel attention in parallel, added to the input."""

    def __init__(self, channels: int, act: nn.PReLU):
        super().__init__()
        self.body = nn.Sequential(
            _conv(channels, channels),
            act,
            _conv(channels, channels),
        )
        self.SA = SpatialAttention()
        self.CA = ChannelAttention(channels)
        self.conv1x1 = _conv(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return x + self.conv1x1(torch.cat((self.SA(y), self.CA(y)), 1))


class SelectiveFusion(nn.Module):
    """The paper's SKFF: a sum of the streams in which each channel has its own weights."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(channels // REDUCTION, 4)
        self.conv_du = nn.Sequential(
            _conv(channels, hidden, 1),
            nn.PReLU(),
        )
        self.fcs = nn.ModuleList(_conv(hidden, channels, 1) for _ in range(STREAMS))

    def forward(self, streams: list[Tensor]) -> Tensor:
        means = sum(streams).mean((2, 3), keepdim=True)
        descriptor = self.conv_du(means)
        # (streams, N, C, 1, 1), a softmax over the streams.
        weights = torch.stack([fc(descriptor) for fc in self.fcs]).softmax(0)
        return sum(weight * stream for weight, stream in zip(weights, streams))


class MultiScaleBlock(nn.Module):
    """The paper's MSRB: parallel streams that exchange features after each turn.

    As in the authors' code, a stream has one attention unit for all of its turns: its weights are
    shared.
    """

    def __init__(
        self,
        channels: int,
        columns: int,
        act: nn.PReLU,
    ):
        super().__init__()
        self.channels = channels
        widths = [channels << level for level in range(STREAMS)]
        self.blocks = nn.ModuleList(
            nn.ModuleList([DualAttention(width, act)] * columns) for width in widths
        )
        self.selective_kernel = nn.ModuleList(SelectiveFusion(width) for width in widths)
        self.last_up = nn.ModuleDict(
            {str(level): Steps(widths[level], -level) for level in range(1, STREAMS)}
        )
        # A resampling from every stream a to every other stream b.
        pairs = [(a, b) for a in range(STREAMS) for b in range(STREAMS)]
        self.down = nn.ModuleDict(
            {self._name(a, b): Steps(widths[a], b - a) for a, b in pairs if b > a}
        )
        self.up = nn.ModuleDict(
            {self._name(a, b): Steps(widths[a], b - a) for a, b in pairs if b < a}
        )
        self.conv_out = _conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        streams = self._opened(x)
        for column in range(1, len(self.blocks[0])):
            fused = [
                fuse(self._at(level, streams)) for level, fuse in enumerate(self.selective_kernel)
            ]
            streams = [units[column](stream) for units, stream in zip(self.blocks, fused)]
        # All streams at full size.
        raised = [self.last_up[str(level)](streams[level]) for level in range(1, STREAMS)]
        fused = self.selective_kernel[0]([streams[0], *raised])
        return x + self.conv_out(fused)

    def _opened(self, x: Tensor) -> list[Tensor]:
        streams = [self.blocks[0][0](x)]
        for level in range(1, STREAMS):
            lowered = self.down[self._name(level - 1, level)](streams[-1])
            streams.append(self.blocks[level][0](lowered))
        return streams

    def _at(self, level: int, streams: list[Tensor]) -> list[Tensor]:
        """Return all streams at the size and width of the stream `level`."""
        resampled = []
        for origin, stream in enumerate(streams):
            if origin != level:
                steps = self.down if level > origin else self.up
                stream = steps[self._name(origin, level)](stream)
            resampled.append(stream)
        return resampled

    def _name(self, origin: int, level: int) -> str:
        # The authors' key: channels before, and the factor of the size.
        return f"{self.channels << origin}_{1 << abs(level - origin)}"


class RecursiveGroup(nn.Module):
    """The paper's RRG: blocks and a convolution, added to the input."""

    def __init__(
        self,
        channels: int,
        blocks: int,
        columns: int,
        act: nn.PReLU,
    ):
        super().__init__()
        body = [MultiScaleBlock(channels, columns, act) for _ in range(blocks)]
        self.body = nn.Sequential(
            *body,
            _conv(channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


@register_arch
class MIRNet(nn.Module):
    """MIRNet: the first version, for low light, noise and super-resolution.

    One PReLU serves the attention units of the whole network, so a state dict repeats its one value
    under many names.

    Args:
        n_feat: channels at full size, a multiple of 8; doubles with each of the three streams.
        groups: recursive groups (the authors' n_RRG).
        blocks: multi-scale blocks of each group (the authors' n_MSRB).
        columns: turns of a stream in a block (the authors' width).
    """

    smoke = {
        "n_feat": 8,
        "groups": 1,
        "blocks": 1,
    }
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(
        self,
        n_feat: int = 64,
        groups: int = 3,
        blocks: int = 2,
        columns: int = 2,
    ):
        super().__init__()
        if n_feat % REDUCTION:
            raise ValueError(f"MIRNet: n_feat must be a multiple of {REDUCTION}, not {n_feat}")
        # One module under many names: the state dict repeats its one value.
        act = nn.PReLU()
        self.conv_in = _conv(3, n_feat)
        self.conv_out = _conv(n_feat, 3)
        self.body = nn.Sequential(
            *(RecursiveGroup(n_feat, blocks, columns, act) for _ in range(groups))
        )

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped. Sizes that are not
        a multiple of 4 are extended by reflection (repetition below 4) and cropped: our choice, the
        authors' images have such sizes.
        """
        image = extended(lq, STRIDE)
        features = self.body(self.conv_in(image))
        return cropped(image + self.conv_out(features), lq)


def _conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
