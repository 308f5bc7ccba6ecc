"""SAR: encoder stages whose residual is gated by a predicted soft mask of degraded areas.

'Exploring the Application of Large-scale Pre-trained Models on Adverse Weather Removal' (Tan et
al., TIP 2024, arXiv 2306.09008) has a Spatially-Adaptive Residual encoder that finds degraded
areas; only its abstract is public. The computation is our design: M = sigmoid(conv1x1(GELU(
depthwise3x3([F, R])))) and F' = F + M * R, or F' = F + R + M * B(F + R) with a second body B.
docs/sarcwp.md
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KINDS = ("spatial", "channel", "extra")
"""One mask for all channels, one for each, or one for all on a second residual."""


class Gate(NamedTuple):
    """Mask of a stage, and the residual that it gated."""

    mask: Tensor
    """Values in (0, 1), (N, 1, h, w) or (N, C, h, w)."""
    residual: Tensor
    """Residual of the stage before the mask, (N, C, h, w)."""


class Masked(NamedTuple):
    """A restored batch, with the masks of its degraded areas."""

    restored: Tensor
    """Restored images (N, 3, H, W)."""
    masks: list[Tensor]
    """Mask of each stage, full size first: (N, 1, H, W) in (0, 1), resized to the images."""
    residuals: list[Tensor]
    """Residual of each stage before the mask: (N, C, h, w) at the stage's own size."""


class SoftMask(nn.Module):
    """Predictor of the mask of a stage, about 0.5 everywhere before training."""

    def __init__(self, channels: int, kind: str):
        super().__init__()
        self.spread = nn.Conv2d(
            2 * channels,
            2 * channels,
            3,
            padding=1,
            groups=2 * channels,
        )
        self.reduce = nn.Conv2d(2 * channels, channels if kind == "channel" else 1, 1)
        nn.init.zeros_(self.reduce.bias)

    def forward(self, feature: Tensor, residual: Tensor) -> Tensor:
        both = torch.cat((feature, residual), dim=1)
        hidden = F.gelu(self.spread(both))
        return self.reduce(hidden).sigmoid()


class ExtraBody(nn.Module):
    """Second residual of a stage, which a mask may close without closing the stage itself."""

    def __init__(self, channels: int):
        super().__init__()
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.spread = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.reduce = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, feature: Tensor) -> Tensor:
        return self.reduce(F.gelu(self.spread(self.expand(feature))))


class SoftGates(nn.Module):
    """Gates of the stages of any encoder.

    Args:
        widths: channels of each stage.
        kind: one of KINDS; None: no gates.

    Raises:
        ValueError: `kind` is not one of KINDS.
    """

    def __init__(self, widths: Sequence[int], kind: str | None):
        super().__init__()
        if kind is not None and kind not in KINDS:
            raise ValueError(f"sar is one of {', '.join(KINDS)}, or absent; not {kind!r}")
        self.widths = tuple(widths) if kind else ()
        """Channels of each stage that is gated."""
        self.masks = nn.ModuleList(SoftMask(width, kind) for width in self.widths)
        extra_widths = self.widths if kind == "extra" else ()
        self.bodies = nn.ModuleList(ExtraBody(width) for width in extra_widths)

    def gate(
        self,
        number: int,
        before: Tensor,
        after: Tensor,
        recorded: list[Gate] | None = None,
    ) -> Tensor:
        """Return the gated features of stage `number`: base + mask * residual.

        `before` and `after` (N, C, h, w) are the stage's input and output. The base is `before` and
        the residual `after - before`; of the kind extra they are `after` and that of a second body.
        The mask and the residual are appended to `recorded` unless it is None.
        """
        if not self.widths:
            return after
        if self.bodies:
            base, residual = after, self.bodies[number](after)
        else:
            base, residual = before, after - before
        mask = self.masks[number](base, residual)
        if recorded is not None:
            recorded.append(Gate(mask, residual))
        return base + mask * residual


class SAREncoder(nn.Module):
    """Encoder of a U-Net with gated residuals.

    Args:
        stages: layers of each size, the largest first, that keep the shape of feature maps.
        downs: layers between two stages, one fewer.
        widths: channels of the stages.
        kind: one of KINDS; None: no masks, a plain encoder.
    """

    def __init__(
        self,
        stages: Iterable[nn.Module],
        downs: Iterable[nn.Module],
        widths: Sequence[int],
        kind: str | None,
    ):
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.downs = nn.ModuleList(downs)
        self.gates = SoftGates(widths, kind)

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Gate]]:
        """Return the features of each stage, the largest first, and the gates' masks and residuals.

        `x` is (N, C, H, W).
        """
        features = []
        recorded = []
        for number, stage in enumerate(self.stages):
            if number:
                x = self.downs[number - 1](x)
            x = self.gates.gate(number, x, stage(x), recorded)
            features.append(x)
        return features, recorded


def with_masks(restored: Tensor, recorded: Sequence[Gate], padded: Tensor) -> Masked:
    """Return `restored` (N, 3, H, W) with the gates' masks resized to H x W.

    `padded` is the image as the network saw it, extended right and below.
    """
    height, width = restored.shape[-2:]
    whole = padded.shape[-2:]
    masks = []
    for gate in recorded:
        # A mask for each channel becomes one for all.
        mask = gate.mask.mean(dim=1, keepdim=True)
        mask = F.interpolate(mask, whole, mode="bilinear", align_corners=False)
        masks.append(mask[..., :height, :width])
    residuals = [_unpadded(gate.residual, restored, padded) for gate in recorded]
    return Masked(restored, masks, residuals)


def _unpadded(residual: Tensor, restored: Tensor, padded: Tensor) -> Tensor:
    """Cut a stage's residual to the positions that are not padding alone."""
    height, width = residual.shape[-2:]
    # ceil(h H / H_padded), and the same for the width.
    rows = -(-height * restored.shape[-2] // padded.shape[-2])
    columns = -(-width * restored.shape[-1] // padded.shape[-1])
    return residual[..., :rows, :columns]
