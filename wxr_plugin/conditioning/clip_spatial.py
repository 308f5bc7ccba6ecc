"""Feature maps from inside a frozen CLIP: where in an image it sees what.

A ResNet of open_clip has four layers at strides 4, 8, 16 and 32 and takes images of any size; a ViT
has as many layers as blocks, all at the stride of its patches, and sees images resized to its
square.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wxr_plugin.conditioning.clip import ClipError, ClipGuide, clip_config, fit_square

USABLE = "take a ResNet or a ViT of open_clip's own, such as RN50:openai or ViT-B-16:openai"


class SpatialTower(NamedTuple):
    """What the image tower of a CLIP has of feature maps."""

    depth: int
    """Its layers are numbered from 1 to this."""
    patch: int | None
    """Side of a ViT's patches in pixels; None for a ResNet."""
    size: int
    """Side in pixels of the square that it was trained with."""

    def stride(self, layer: int) -> int:
        """Pixels between two positions of a layer, in the image as the tower sees it."""
        return self.patch or 2 << layer

    def least(self, layers: Sequence[int], positions: int = 2) -> int:
        """Return the smallest side in pixels of an image of which all `layers` have that many positions each way."""
        return positions * max(self.stride(layer) for layer in layers)

    def check(self, layers: Sequence[int], name: str) -> None:
        """Raise ClipError for layers that the CLIP `name` does not have."""
        if not layers or not all(1 <= layer <= self.depth for layer in layers):
            raise ClipError(
                f"CLIP '{name}' has layers 1 to {self.depth} with spatial features, not "
                f"{list(layers)}"
            )


def tower_of(guide: ClipGuide) -> SpatialTower:
    """The image tower of a loaded CLIP.

    Raises ClipError where it has no feature maps that are known here.
    """
    visual = guide.visual
    size = visual.image_size if isinstance(visual.image_size, int) else visual.image_size[0]
    if hasattr(visual, "stem") and hasattr(visual, "layer4"):
        return SpatialTower(4, None, size)
    if hasattr(visual, "class_embedding") and hasattr(visual, "transformer"):
        return SpatialTower(len(visual.transformer.resblocks), visual.patch_size[0], size)
    raise without_maps(guide.name, type(visual).__name__)


def told_tower(name: str) -> SpatialTower | None:
    """The same of the CLIP `name`, told from its configuration alone; None where that is not on this machine.

    Raises ClipError for a name that nothing has, and as `tower_of`.
    """
    config = clip_config(name)
    return _from_config(name, config["vision_cfg"]) if config else None


def spatial_features(guide: ClipGuide, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
    """Maps (N, C, h, w) of `layers`, in their order, for images (N, 3, H, W) in [0, 1]; gradients flow to the images.

    Images are clamped. A ResNet sees them at their own size, a ViT resized to its square; its
    tokens are layer-normed.

    Raises:
        ClipError: no such layers, or none at all.
        ValueError: images smaller than `SpatialTower.least`.
    """
    tower = tower_of(guide)
    tower.check(layers, guide.name)
    if min(images.shape[-2:]) < tower.least(layers):
        raise ClipError(too_small(guide.name, tower, layers, min(images.shape[-2:])))
    seen = (
        fit_square(images.clamp(0, 1), tower.size, "bicubic") if tower.patch else images.clamp(0, 1)
    )
    numbers = sorted(
        {layer - 1 if tower.patch else layer for layer in layers}
    )  # a ResNet's number 0 is its stem
    found = _intermediates(guide.visual, guide.normalised(seen), numbers)
    maps = dict(zip(numbers, found, strict=True))
    return [maps[layer - 1 if tower.patch else layer] for layer in layers]


def widths_of(guide: ClipGuide, layers: Sequence[int]) -> list[int]:
    """Channels of the maps of `layers`."""
    side = tower_of(guide).least(layers)
    with torch.no_grad():
        maps = spatial_features(guide, torch.zeros(1, 3, side, side, device=guide.device), layers)
    return [found.shape[1] for found in maps]


def too_small(
    name: str, tower: SpatialTower, layers: Sequence[int], side: int, positions: int = 2
) -> str:
    """Return the message about an image of `side` pixels that has fewer `positions` in its deepest layer."""
    deepest = max(layers, key=tower.stride)
    return (
        f"images of {side} pixels are too small for layer {deepest} of CLIP '{name}', whose stride "
        f"is "
        f"{tower.stride(deepest)}: {positions} x {positions} positions take at least "
        f"{tower.least(layers, positions)} pixels; give larger crops, or earlier layers"
    )


def without_maps(name: str, kind: str) -> ClipError:
    """The error of a CLIP whose image tower is of another `kind`."""
    return ClipError(
        f"CLIP '{name}' has no spatial features that are known here ({kind}): {USABLE}"
    )


def _intermediates(visual: nn.Module, images: Tensor, numbers: list[int]) -> list[Tensor]:
    # open_clip's ResNet stops at the last wanted layer without `stop_early`, its ViT with it
    is_vit = hasattr(visual, "class_embedding")
    found = visual.forward_intermediates(
        images,
        indices=numbers,
        stop_early=is_vit,
        normalize_intermediates=True,
        intermediates_only=True,
    )
    return found["image_intermediates"]


def _from_config(name: str, vision: Mapping[str, Any]) -> SpatialTower:
    size = vision.get("image_size", 224)
    size = size if isinstance(size, int) else size[0]
    if "timm_model_name" in vision:
        raise without_maps(name, vision["timm_model_name"])
    if isinstance(vision.get("layers"), list | tuple):
        return SpatialTower(4, None, size)
    return SpatialTower(vision.get("layers", 12), vision.get("patch_size", 16), size)
