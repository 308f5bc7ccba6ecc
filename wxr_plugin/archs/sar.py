"""SAR: encoder stages whose residual is gated by a predicted soft mask of what is degraded.

'Exploring the Application of Large-scale Pre-trained Models on Adverse Weather Removal' (Tan et
al., TIP 2024, arXiv 2306.09008) has a Spatially-Adaptive Residual encoder that finds degraded
areas; only its abstract is public. All that is computed here is our design: M =
sigmoid(conv1x1(GELU(depthwise3x3([F, R])))) and F' = F + M * R. docs/sarcwp.md
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KINDS = ("spatial", "channel")
"""One mask for all channels, or one for each."""


class Gate(NamedTuple):
    """What a stage recorded: its mask in (0, 1), (N, 1, h, w) or (N, C, h, w), and the residual (N, C, h, w) it gated."""

    mask: Tensor
    residual: Tensor


class Masked(NamedTuple):
    """A restored batch, and where the network took it to be degraded."""

    restored: Tensor
    """What the network gives otherwise, (N, 3, H, W)."""
    masks: list[Tensor]
    """Of each stage, the one at full size first: (N, 1, H, W) in (0, 1), resized to the images."""
    residuals: list[Tensor]
    """Of each stage: (N, C, h, w) at its own size, before the mask."""


class SoftMask(nn.Module):
    """The mask of a stage with `channels`, about 0.5 everywhere before training."""

    def __init__(self, channels: int, kind: str):
        super().__init__()
        self.spread = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.reduce = nn.Conv2d(2 * channels, 1 if kind == "spatial" else channels, 1)
        nn.init.zeros_(self.reduce.bias)

    def forward(self, feature: Tensor, residual: Tensor) -> Tensor:
        return self.reduce(F.gelu(self.spread(torch.cat((feature, residual), dim=1)))).sigmoid()


class SoftGates(nn.Module):
    """Gates the stages of any encoder, whose features have `widths` channels; without a `kind` it changes nothing.

    Raises ValueError for a kind that is none of KINDS.
    """

    def __init__(self, widths: Sequence[int], kind: str | None):
        super().__init__()
        if kind is not None and kind not in KINDS:
            raise ValueError(f"sar is one of {', '.join(KINDS)}, or absent; not {kind!r}")
        self.widths = tuple(widths) if kind else ()
        """Channels of each stage that is gated."""
        self.masks = nn.ModuleList(SoftMask(width, kind) for width in self.widths)

    def gate(
        self,
        number: int,
        before: Tensor,
        after: Tensor,
        recorded: list[Gate] | None = None,
    ) -> Tensor:
        """Stage `number`'s features: `before` and as much of `after - before` as its mask lets through.

        The mask and the residual are appended to `recorded`, where it is given.
        """
        if not self.widths:
            return after
        residual = after - before
        mask = self.masks[number](before, residual)
        if recorded is not None:
            recorded.append(Gate(mask, residual))
        return before + mask * residual


class SAREncoder(nn.Module):
    """An encoder of a U-Net with soft residuals.

    Args:
        stages: what is done at each size, the largest first: feature maps to feature maps of the
            same shape.
        downs: what comes between two stages, one fewer.
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
        """Features of each stage for (N, C, H, W), the largest first, and what the gates recorded."""
        features = []
        recorded = []
        for number, stage in enumerate(self.stages):
            x = self.downs[number - 1](x) if number else x
            x = self.gates.gate(number, x, stage(x), recorded)
            features.append(x)
        return features, recorded


def with_masks(restored: Tensor, recorded: Sequence[Gate], padded: Tensor) -> Masked:
    """`restored` (N, 3, H, W) with its masks at that size; `padded` is the image as the network saw it."""
    (height, width) = restored.shape[-2:]
    whole = padded.shape[-2:]
    one = (gate.mask.mean(dim=1, keepdim=True) for gate in recorded)
    full = (F.interpolate(mask, whole, mode="bilinear", align_corners=False) for mask in one)
    masks = [mask[..., :height, :width] for mask in full]
    return Masked(restored, masks, [_own(gate.residual, restored, padded) for gate in recorded])


def _own(residual: Tensor, restored: Tensor, padded: Tensor) -> Tensor:
    """The part of a stage's residual that is not padding."""
    parts = [-(-residual.shape[d] * restored.shape[d] // padded.shape[d]) for d in (-2, -1)]
    return residual[..., : parts[0], : parts[1]]
