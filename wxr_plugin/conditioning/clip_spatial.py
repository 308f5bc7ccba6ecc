"""Intermediate feature maps of a frozen CLIP.

A ResNet of open_clip has four layers at strides 4, 8, 16 and 32 and takes images of any size. A ViT
has one layer per block, all at the stride of its patches, and images are resized to its square.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wxr_plugin.conditioning.clip import ClipError, ClipGuide, clip_config, fit_square

USABLE = "take a ResNet or a ViT of open_clip's own, such as RN50:openai or ViT-B-16:openai"


class SpatialTower(NamedTuple):
    """Feature maps that the image tower of a CLIP offers."""

    depth: int
    """Number of layers; they are numbered from 1."""
    patch: int | None
    """Side of a ViT's patches in pixels; None for a ResNet."""
    size: int
    """Side in pixels of the square that the tower was trained with."""

    def stride(self, layer: int) -> int:
        """Return the distance between two positions of a layer, in pixels of the tower's input."""
        if self.patch:
            return self.patch
        return 2 << layer  # ResNet: 4, 8, 16, 32

    def least(self, layers: Sequence[int], positions: int = 2) -> int:
        """Return the smallest side of an image with that many positions per axis in all layers."""
        strides = [self.stride(layer) for layer in layers]
        return positions * max(strides)

    def check(self, layers: Sequence[int], name: str) -> None:
        """Raise ClipError for layers that the CLIP `name` does not have."""
        unknown = [layer for layer in layers if not 1 <= layer <= self.depth]
        if unknown or not layers:
            raise ClipError(
                f"CLIP '{name}' has layers 1 to {self.depth} with spatial features, not "
                f"{list(layers)}"
            )


def tower_of(guide: ClipGuide) -> SpatialTower:
    """Return the image tower of a loaded CLIP.

    Raises:
        ClipError: the tower is neither a ResNet nor a ViT of open_clip.
    """
    visual = guide.visual
    size = _side(visual.image_size)
    # open_clip's own towers have these attributes, those of timm do not.
    is_resnet = hasattr(visual, "stem") and hasattr(visual, "layer4")
    if is_resnet:
        return SpatialTower(4, None, size)
    is_vit = hasattr(visual, "class_embedding") and hasattr(visual, "transformer")
    if is_vit:
        depth = len(visual.transformer.resblocks)
        return SpatialTower(depth, visual.patch_size[0], size)
    raise without_maps(guide.name, type(visual).__name__)


def _side(size: int | Sequence[int]) -> int:
    """Return the side of the square that a tower takes, given as one number or as two."""
    if isinstance(size, int):
        return size
    return size[0]


def configured_tower(name: str) -> SpatialTower | None:
    """Return the image tower of the CLIP `name` without loading it.

    None if its configuration is not on this machine.

    Raises:
        ClipError: unknown name, or the tower is neither a ResNet nor a ViT of open_clip.
    """
    config = clip_config(name)
    if not config:
        return None
    return _from_config(name, config["vision_cfg"])


def spatial_features(guide: ClipGuide, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
    """Return maps (N, C, h, w) of `layers`, in their order, differentiable to the images.

    Args:
        guide: the CLIP.
        images: (N, 3, H, W) in [0, 1]; they are clamped. A ResNet takes them at their own size, for
            a ViT they are resized to its square, and its tokens are layer-normed.
        layers: numbers of layers, counted from 1.

    Raises:
        ClipError: `layers` is empty or has an unknown layer, or images are smaller than
            `SpatialTower.least`.
    """
    tower = tower_of(guide)
    tower.check(layers, guide.name)
    side = min(images.shape[-2:])
    if side < tower.least(layers):
        raise ClipError(too_small(guide.name, tower, layers, side))
    images = images.clamp(0, 1)
    # open_clip counts blocks of a ViT from 0; number 0 of a ResNet is its stem.
    numbers = list(layers)
    if tower.patch:
        images = fit_square(images, tower.size, "bicubic")
        numbers = [layer - 1 for layer in layers]
    distinct = sorted(set(numbers))
    inputs = guide.normalised(images)
    maps = _intermediates(guide.visual, inputs, distinct)
    by_number = dict(zip(distinct, maps, strict=True))
    return [by_number[number] for number in numbers]


def widths_of(guide: ClipGuide, layers: Sequence[int]) -> list[int]:
    """Return the numbers of channels of the maps of `layers`."""
    tower = tower_of(guide)
    side = tower.least(layers)
    with torch.no_grad():
        image = torch.zeros(1, 3, side, side, device=guide.device)
        maps = spatial_features(guide, image, layers)
    return [features.shape[1] for features in maps]


def too_small(
    name: str,
    tower: SpatialTower,
    layers: Sequence[int],
    side: int,
    positions: int = 2,
) -> str:
    """Return the error message for images of `side` pixels with too few positions in a layer."""
    deepest = max(layers, key=tower.stride)
    return (
        f"images of {side} pixels are too small for layer {deepest} of CLIP '{name}', whose stride "
        f"is {tower.stride(deepest)}: {positions} x {positions} positions take at least "
        f"{tower.least(layers, positions)} pixels; give larger crops, or earlier layers"
    )


def without_maps(name: str, kind: str) -> ClipError:
    """Return the error for a CLIP whose image tower, of type `kind`, is not supported."""
    return ClipError(
        f"CLIP '{name}' has no spatial features that are known here ({kind}): {USABLE}"
    )


def _intermediates(visual: nn.Module, images: Tensor, numbers: list[int]) -> list[Tensor]:
    # To skip later layers, open_clip's ViT needs `stop_early`; its ResNet skips them without it.
    is_vit = hasattr(visual, "class_embedding")
    outputs = visual.forward_intermediates(
        images,
        indices=numbers,
        stop_early=is_vit,
        normalize_intermediates=True,
        intermediates_only=True,
    )
    return outputs["image_intermediates"]


def _from_config(name: str, vision: Mapping[str, Any]) -> SpatialTower:
    """Return the tower of a configuration; its defaults are those of open_clip's CLIPVisionCfg."""
    size = _side(vision.get("image_size", 224))
    if "timm_model_name" in vision:
        raise without_maps(name, vision["timm_model_name"])
    depth = vision.get("layers", 12)
    # A ResNet has one number of blocks for each of its layers.
    if isinstance(depth, list | tuple):
        return SpatialTower(4, None, size)
    patch = vision.get("patch_size", 16)
    return SpatialTower(depth, patch, size)
