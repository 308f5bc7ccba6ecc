"""CLIP-SRD: masks of a SAR encoder are trained towards what CLIP finds different between a degraded and a clean photo.

'Exploring the Application of Large-scale Pre-trained Models on Adverse Weather Removal' (Tan et
al., TIP 2024, arXiv 2306.09008) transfers CLIP's spatial knowledge between clean and adverse
images, as an aid to the training of SAR. Only the abstract is public; every formula here is our
design. docs/sarcwp.md
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.errors import OptionError, WxrError
from wxr_plugin.losses.guided_loss import GuidedLoss
from wxr_plugin.registry import register_loss

if TYPE_CHECKING:
    from wxr_plugin.conditioning.clip_spatial import SpatialTower

LOW, HIGH = 0.05, 0.95
LEAST_POSITIONS = 4
"""Positions each way that a map needs at least: the quantiles of 2 x 2 values are its extremes, whatever they are."""
LEAST_SPREAD = 1e-3
"""A map whose quantiles lie closer tells nothing of where an image is degraded."""


def feature_distance(degraded: Tensor, clean: Tensor) -> Tensor:
    """1 - cos at every position, (N, h, w) in [0, 2], of features (N, C, h, w)."""
    return 1 - F.cosine_similarity(degraded, clean, dim=1)


def soft_target(distance: Tensor) -> tuple[Tensor, Tensor]:
    """`distance` (N, h, w) brought to [0, 1] image by image, and which images (N,) have a spread that counts.

    The quantiles 0.05 and 0.95 become 0 and 1, so that a few extreme positions do not set the
    scale.
    """
    flat = distance.flatten(1).float()
    low, high = flat.quantile(torch.tensor([LOW, HIGH], device=flat.device), dim=1)[..., None]
    scaled = ((flat - low) / (high - low).clamp_min(LEAST_SPREAD)).clamp(0, 1)
    return scaled.view_as(distance), (high - low).squeeze(1) >= LEAST_SPREAD


def mask_loss(mask: Tensor, target: Tensor, counts: Tensor, criterion: str = "l1") -> Tensor:
    """Mean distance of masks (N, 1, H, W) in (0, 1) from targets (N, h, w), over the images that count; a scalar.

    Masks are averaged over the area of each position. `criterion` is l1 or bce (binary
    cross-entropy).
    """
    small = F.adaptive_avg_pool2d(mask.float(), target.shape[-2:]).squeeze(1)
    if criterion == "bce":
        found = -(
            target * small.clamp_min(1e-6).log() + (1 - target) * (1 - small).clamp_min(1e-6).log()
        )
    else:
        found = (small - target).abs()
    return _over(found.mean(dim=(1, 2)), counts)


def residual_loss(projected: Tensor, difference: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Mean of 1 - cos between projected residuals and CLIP's difference (N, C, h, w), weighted by `target` (N, h, w).

    Where CLIP sees no difference, its direction is noise: such positions have no weight.
    """
    small = F.adaptive_avg_pool2d(projected.float(), difference.shape[-2:])
    found = (feature_distance(small, difference) * target).sum(dim=(1, 2)) / target.sum(
        dim=(1, 2)
    ).clamp_min(1e-6)
    return _over(found, counts)


class Projectors(nn.Module):
    """A 1x1 convolution a stage, from its residual's channels to those of CLIP's features."""

    def __init__(self, widths: Sequence[int], clip_widths: Sequence[int]):
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Conv2d(*pair, 1) for pair in zip(widths, clip_widths, strict=True)
        )

    def forward(self, residuals: Sequence[Tensor]) -> list[Tensor]:
        return [stage(residual) for stage, residual in zip(self.stages, residuals, strict=True)]


@register_loss
class ClipSRDLoss(GuidedLoss):
    """`loss_weight` times the mean over the stages of `mask_loss`, of `residual_loss`, or of their sum.

    Args:
        clip: name of the CLIP, as `load_clip` takes it; one with spatial features, best a ResNet.
        layers: CLIP's layer for each stage of the network, the stage at full size first. 1 to 4 of
            a ResNet (strides 4, 8, 16, 32), or blocks of a ViT.
        variant: map: the masks; feature: the residuals before the masks, projected to CLIP's
            features; both.
        criterion: of the masks: l1 or bce.

    Raises OptionError or ClipError for what does not fit.
    """

    def __init__(
        self,
        clip: str = "tiny",
        layers: Sequence[int] = (1, 2, 3, 4),
        variant: Literal["map", "feature", "both"] = "map",
        criterion: Literal["l1", "bce"] = "l1",
        loss_weight: float = 0.1,
    ):
        super().__init__()
        from wxr_plugin.conditioning.clip_spatial import configured_tower

        for name, value, choices in (
            ("variant", variant, ("map", "feature", "both")),
            ("criterion", criterion, ("l1", "bce")),
        ):
            if value not in choices:
                raise OptionError(
                    f"ClipSRDLoss: {name} is {value!r}: take one of {', '.join(choices)}"
                )
        self.clip, self.layers = clip, list(layers)
        if tower := configured_tower(clip):
            tower.check(self.layers, clip)
        self.variant, self.criterion, self.loss_weight = variant, criterion, loss_weight

    def load_guide(self, device: torch.device) -> Any:
        """Return the CLIP on `device`."""
        from wxr_plugin.conditioning.clip import load_clip

        return load_clip(self.clip, device)

    @property
    def tower(self) -> "SpatialTower":
        """The image tower of the CLIP.

        Raises ClipError where it has no feature maps that are known.
        """
        from wxr_plugin.conditioning.clip_spatial import tower_of

        return tower_of(self.guide)

    def prepare(self) -> None:
        """Load the CLIP. Raises ClipError if it lacks one of the layers."""
        self.tower.check(self.layers, self.clip)

    def projectors(self, widths: Sequence[int]) -> Projectors | None:
        """What is trained beside the network, whose stages have `widths` channels; None for the variant map."""
        from wxr_plugin.conditioning.clip_spatial import widths_of

        return (
            None
            if self.variant == "map"
            else Projectors(widths, widths_of(self.guide, self.layers))
        )

    def too_small(self, side: int) -> str:
        """Return what is wrong with images of `side` pixels, whose maps have too few positions; empty if nothing is."""
        from wxr_plugin.conditioning.clip_spatial import too_small

        if side >= self.tower.least(self.layers, LEAST_POSITIONS):
            return ""
        return too_small(self.guide.name, self.tower, self.layers, side, LEAST_POSITIONS)

    def forward(
        self,
        masks: Sequence[Tensor],
        lq: Tensor,
        gt: Tensor | None,
        projected: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """A scalar for the masks of a batch (`Masked.masks`); `lq` and `gt` are (N, 3, H, W) in [0, 1].

        `projected` are the residuals after the projectors, for the variants feature and both. No
        gradient flows to `lq`, `gt` or CLIP. Raises WxrError without a clean image, for another
        number of masks than of layers, and for images of which a layer has fewer than 4 x 4
        positions.
        """
        if gt is None:
            raise WxrError(
                "ClipSRDLoss compares a degraded photo with the clean one, and there is no clean "
                "one (gt)"
            )
        if len(masks) != len(self.layers):
            raise WxrError(
                f"ClipSRDLoss: {len(masks)} masks, but {len(self.layers)} layers: name one for "
                f"each mask"
            )
        if problem := self.too_small(min(lq.shape[-2:])):
            raise WxrError(f"ClipSRDLoss: {problem}")
        degraded, clean = self._features(lq, gt)
        total = lq.new_zeros(())
        for stage, pair in enumerate(zip(degraded, clean)):
            target, counts = soft_target(feature_distance(*pair))
            if self.variant != "feature":
                total = total + mask_loss(masks[stage], target, counts, self.criterion)
            if self.variant != "map":
                total = total + residual_loss(projected[stage], pair[0] - pair[1], target, counts)
        return self.loss_weight * total / len(self.layers)

    @torch.no_grad()
    def _features(self, lq: Tensor, gt: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        from wxr_plugin.conditioning.clip_spatial import spatial_features

        return tuple(
            spatial_features(self.guide, images.float(), self.layers) for images in (lq, gt)
        )


def _over(values: Tensor, counts: Tensor) -> Tensor:
    """Mean of `values` (N,) where `counts`; 0 with a gradient of 0 where none does."""
    return (values * counts).sum() / counts.sum().clamp_min(1)
