"""CLIP-SRD: trains the masks of a SAR encoder towards CLIP's differences to the clean photo.

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
"""Quantiles of a distance map that become 0 and 1."""
DIFFERENCE = 0.2
"""Mean absolute difference of lq and gt, in [0, 1], that counts as wholly degraded."""
LEAST_POSITIONS = 4
"""Smallest side of a map: the quantiles of a 2 x 2 map are its extremes, whatever these are."""
LEAST_SPREAD = 1e-3
"""Smallest difference of the quantiles of a map that shows where an image is degraded."""


def feature_distance(degraded: Tensor, clean: Tensor) -> Tensor:
    """Return 1 - cos at every position, (N, h, w) in [0, 2], of features (N, C, h, w)."""
    return 1 - F.cosine_similarity(degraded, clean, dim=1)


def soft_target(distance: Tensor) -> tuple[Tensor, Tensor]:
    """Scale `distance` (N, h, w) to [0, 1] for each image.

    The quantiles 0.05 and 0.95 become 0 and 1, so that a few extreme positions do not determine the
    scale. Returns the scaled distance and a boolean (N,): whether an image has enough spread to
    count.
    """
    flat = distance.flatten(1).float()
    quantiles = flat.quantile(torch.tensor([LOW, HIGH], device=flat.device), dim=1)
    low, high = quantiles[..., None]  # (N, 1) each
    spread = high - low
    scaled = ((flat - low) / spread.clamp_min(LEAST_SPREAD)).clamp(0, 1)
    return scaled.view_as(distance), spread.squeeze(1) >= LEAST_SPREAD


def set_target(distance: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Divide `distance` (N, h, w) by one scale for all images, and cut at 1.

    Unlike `soft_target` a photo that is degraded all over has ones everywhere, and a clear one
    zeros. Returns the scaled distance and a boolean (N,) of ones: all images count.
    """
    counts = torch.ones(len(distance), dtype=torch.bool, device=distance.device)
    return (distance.float() / scale).clamp(0, 1), counts


def difference_target(lq: Tensor, gt: Tensor, side: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the target that knows the truth, |lq - gt| / DIFFERENCE, averaged to (N, *side)."""
    difference = (lq.float() - gt.float()).abs().mean(1, keepdim=True)
    return set_target(F.adaptive_avg_pool2d(difference, side).squeeze(1), DIFFERENCE)


def mask_loss(mask: Tensor, target: Tensor, counts: Tensor, criterion: str = "l1") -> Tensor:
    """Return the mean distance of masks (N, 1, H, W) in (0, 1) from targets (N, h, w), a scalar.

    Masks are averaged over the area of each position. Only images with `counts` (N,) contribute.
    `criterion` is l1 or bce (binary cross-entropy).
    """
    small = F.adaptive_avg_pool2d(mask.float(), (target.shape[-2], target.shape[-1])).squeeze(1)
    if criterion == "bce":
        # Clamped, since a mask saturates to exactly 0 or 1 in float32.
        inside = target * small.clamp_min(1e-6).log()
        outside = (1 - target) * (1 - small).clamp_min(1e-6).log()
        loss = -(inside + outside)
    else:
        loss = (small - target).abs()
    return _mean_where(loss.mean(dim=(1, 2)), counts)


def residual_loss(projected: Tensor, difference: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of 1 - cos between projected residuals and CLIP's difference, a scalar.

    `projected` (N, C, H, W) is averaged over the area of each position of `difference`
    (N, C, h, w). Positions are weighted by `target` (N, h, w): where CLIP sees no difference, its
    direction is noise. Only images with `counts` (N,) contribute.
    """
    small = F.adaptive_avg_pool2d(projected.float(), (difference.shape[-2], difference.shape[-1]))
    weighted = (feature_distance(small, difference) * target).sum(dim=(1, 2))
    total = target.sum(dim=(1, 2)).clamp_min(1e-6)
    return _mean_where(weighted / total, counts)


class Projectors(nn.Module):
    """A 1x1 convolution for each stage, from the channels of its residual to those of CLIP."""

    def __init__(self, widths: Sequence[int], clip_widths: Sequence[int]):
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Conv2d(*pair, 1) for pair in zip(widths, clip_widths, strict=True)
        )

    def forward(self, residuals: Sequence[Tensor]) -> list[Tensor]:
        return [stage(residual) for stage, residual in zip(self.stages, residuals, strict=True)]


@register_loss
class ClipSRDLoss(GuidedLoss):
    """`loss_weight` times the mean over the stages of `mask_loss`, `residual_loss` or their sum.

    Args:
        clip: name of the CLIP, as `load_clip` takes it; one with spatial features, best a ResNet.
        layers: CLIP's layer for each stage of the network, the stage at full size first. 1 to 4 of
            a ResNet (strides 4, 8, 16, 32), or blocks of a ViT.
        variant: map: the masks; feature: the residuals before the masks, projected to CLIP's
            features; both.
        criterion: criterion of the masks: l1 or bce.
        loss_weight: factor on the loss.
        scales: distance of each layer that counts as wholly degraded, the same for all images; best
            a high quantile over the training set. None: quantiles of each image.
        target: clip; difference: |lq - gt| instead of CLIP's distance, the ceiling of what a mask
            can learn (variant map alone).

    Raises:
        OptionError: `variant`, `criterion` or `target` is not one of its values, or does not fit
            the others.
        ClipError: the CLIP is known to lack one of the layers.
    """

    def __init__(
        self,
        clip: str = "tiny",
        layers: Sequence[int] = (1, 2, 3, 4),
        variant: Literal["map", "feature", "both"] = "map",
        criterion: Literal["l1", "bce"] = "l1",
        loss_weight: float = 0.1,
        scales: Sequence[float] | None = None,
        target: Literal["clip", "difference"] = "clip",
    ):
        super().__init__()
        from wxr_plugin.conditioning.clip_spatial import configured_tower

        for name, value, choices in (
            ("variant", variant, ("map", "feature", "both")),
            ("criterion", criterion, ("l1", "bce")),
            ("target", target, ("clip", "difference")),
        ):
            if value not in choices:
                raise OptionError(
                    f"ClipSRDLoss: {name} is {value!r}: take one of {', '.join(choices)}"
                )
        if target == "difference" and variant != "map":
            raise OptionError(
                f"ClipSRDLoss: target difference has no features for variant {variant}: "
                "take variant map"
            )
        if scales is not None and (len(scales) != len(layers) or min(scales) <= 0):
            raise OptionError(
                f"ClipSRDLoss: scales is {list(scales)}: give one positive number for each of the "
                f"{len(layers)} layers"
            )
        self.clip = clip
        self.layers = list(layers)
        self.scales = scales
        self.target = target
        # A CLIP whose configuration is on this machine is checked now, all others in `prepare`.
        if tower := configured_tower(clip):
            tower.check(self.layers, clip)
        self.variant = variant
        self.criterion = criterion
        self.loss_weight = loss_weight

    def load_guide(self, device: torch.device) -> Any:
        """Return the CLIP on `device`."""
        from wxr_plugin.conditioning.clip import load_clip

        return load_clip(self.clip, device)

    @property
    def tower(self) -> "SpatialTower":
        """The image tower of the CLIP.

        Raises:
            ClipError: the tower has no known feature maps.
        """
        from wxr_plugin.conditioning.clip_spatial import tower_of

        return tower_of(self.guide)

    def prepare(self) -> None:
        """Load the CLIP.

        Raises:
            ClipError: it lacks one of the layers.
        """
        self.tower.check(self.layers, self.clip)

    def projectors(self, widths: Sequence[int]) -> Projectors | None:
        """Build the projectors to train with a network whose stages have `widths` channels.

        Returns None for the variant map, which has none.
        """
        from wxr_plugin.conditioning.clip_spatial import widths_of

        if self.variant == "map":
            return None
        return Projectors(widths, widths_of(self.guide, self.layers))

    def too_small(self, side: int) -> str:
        """Return the problem with images of `side` pixels, or "" if their maps are large enough."""
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
        """Return the loss of a batch, a scalar.

        No gradient flows to `lq`, `gt` or CLIP.

        Args:
            masks: mask (N, 1, H, W) of each stage (`Masked.masks`).
            lq: degraded images (N, 3, H, W) in [0, 1].
            gt: clean images (N, 3, H, W) in [0, 1].
            projected: residual of each stage after the projectors, for the variants feature and
                both.

        Raises:
            WxrError: there is no clean image, the number of masks is not that of the layers, or a
                layer has fewer than 4 x 4 positions.
        """
        if gt is None:
            raise WxrError(
                "ClipSRDLoss compares a degraded photo with the clean one, and there is no clean "
                "one (gt)"
            )
        if len(masks) != len(self.layers):
            raise WxrError(
                f"ClipSRDLoss: {len(masks)} masks, but {len(self.layers)} layers: "
                f"name one layer for each mask"
            )
        if problem := self.too_small(min(lq.shape[-2:])):
            raise WxrError(f"ClipSRDLoss: {problem}")
        degraded, clean = self._features(lq, gt)
        total = lq.new_zeros(())
        for stage, (degraded_map, clean_map) in enumerate(zip(degraded, clean)):
            distance = feature_distance(degraded_map, clean_map)
            target, counts = self._target(stage, distance, lq, gt)
            if self.variant != "feature":
                total = total + mask_loss(masks[stage], target, counts, self.criterion)
            if projected is not None and self.variant != "map":
                difference = degraded_map - clean_map
                total = total + residual_loss(projected[stage], difference, target, counts)
        return self.loss_weight * total / len(self.layers)

    def _target(
        self, stage: int, distance: Tensor, lq: Tensor, gt: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the target (N, h, w) of a stage's masks, and which images count, bool (N,)."""
        if self.target == "difference":
            height, width = distance.shape[-2:]
            return difference_target(lq, gt, (height, width))
        if self.scales:
            return set_target(distance, self.scales[stage])
        return soft_target(distance)

    @torch.no_grad()
    def _features(self, lq: Tensor, gt: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        from wxr_plugin.conditioning.clip_spatial import spatial_features

        degraded = spatial_features(self.guide, lq.float(), self.layers)
        clean = spatial_features(self.guide, gt.float(), self.layers)
        return degraded, clean


def _mean_where(values: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of `values` (N,) where `counts`; 0 with a gradient of 0 if nowhere."""
    return (values * counts).sum() / counts.sum().clamp_min(1)
