"""MIRNet (Zamir et al., Learning Enriched Features for Real Image Restoration and Enhancement, ECCV 2020).

Three streams at full, half and quarter size that exchange what they find. State-dict names are
those of the authors' code, so that their weights load. Those are under the Academic Public License,
for non-commercial use, passed on under the same licence only; their blur is under CC BY-NC-SA 4.0.
MIRNet-v2, which spandrel has, is another network.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

STREAMS = 3
STRIDE = 4
REDUCTION = 8
BLUR = (1.0, 2.0, 1.0)


class Blur(nn.Module):
    """Half the size, smoothed before; the filter is a part of the state dict."""

    def __init__(self, channels: int):
        super().__init__()
        row = torch.tensor(BLUR) / sum(BLUR)
        self.register_buffer("filt", torch.outer(row, row).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(
            F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=x.shape[1]
        )


class Halved(nn.Module):
    """Half the size, twice the channels, by two ways that are added."""

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
    """Twice the size, half the channels, by two ways that are added."""

    def __init__(self, channels: int):
        super().__init__()
        raised = nn.ConvTranspose2d(
            channels, channels, 3, stride=2, padding=1, output_padding=1, bias=False
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
    """From one stream's size and width to another's, by factors of two."""

    def __init__(self, channels: int, steps: int):
        super().__init__()
        widths = [channels << i if steps > 0 else channels >> i for i in range(abs(steps))]
        self.body = nn.Sequential(
            *(Halved(width) if steps > 0 else Doubled(width) for width in widths)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class SpatialAttention(nn.Module):
    """Each pixel weighted by the largest and the mean of its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = nn.Module()
        self.spatial.conv = _conv(2, 1, 5)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), 1)
        return x * self.spatial.conv(both).sigmoid()


class ChannelAttention(nn.Module):
    """Each channel weighted by the means of all."""

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
    """The paper's DAU: both attentions side by side, added to what came in."""

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
        found = self.conv_du(sum(streams).mean((2, 3), keepdim=True))
        weights = torch.stack([fc(found) for fc in self.fcs]).softmax(0)
        return sum(weight * stream for weight, stream in zip(weights, streams))


class MultiScaleBlock(nn.Module):
    """The paper's MSRB.

    A stream has one attention unit for both of its turns, the authors' way: weights are shared.
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
        full = [
            streams[0],
            *(self.last_up[str(level)](streams[level]) for level in range(1, STREAMS)),
        ]
        return x + self.conv_out(self.selective_kernel[0](full))

    def _opened(self, x: Tensor) -> list[Tensor]:
        streams = [self.blocks[0][0](x)]
        for level in range(1, STREAMS):
            streams.append(
                self.blocks[level][0](self.down[self._name(level - 1, level)](streams[-1]))
            )
        return streams

    def _at(self, level: int, streams: list[Tensor]) -> list[Tensor]:
        """All streams at the size and width of one."""
        ways = [self.down if level > origin else self.up for origin in range(STREAMS)]
        return [
            stream if origin == level else way[self._name(origin, level)](stream)
            for origin, (way, stream) in enumerate(zip(ways, streams))
        ]

    def _name(self, origin: int, level: int) -> str:
        return f"{self.channels << origin}_{1 << abs(level - origin)}"


class RecursiveGroup(nn.Module):
    """The paper's RRG: blocks and a convolution, added to what came in."""

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
        groups, blocks: recursive groups, and multi-scale blocks of each (the authors' n_RRG and
            n_MSRB).
        columns: turns of a stream in a block (the authors' width).
    """

    smoke = {"n_feat": 8, "groups": 1, "blocks": 1}
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
        act = nn.PReLU()
        self.conv_in = _conv(3, n_feat)
        self.conv_out = _conv(n_feat, 3)
        self.body = nn.Sequential(
            *(RecursiveGroup(n_feat, blocks, columns, act) for _ in range(groups))
        )

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped.
        Sizes that are no multiple of 4 are extended by reflection (repetition below 4) and cropped:
        our choice, the authors' images have such sizes.
        """
        image = extended(lq, STRIDE)
        return cropped(image + self.conv_out(self.body(self.conv_in(image))), lq)


def _conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
