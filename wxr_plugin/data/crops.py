"""Boxes, crops and turns of 8-bit images, and their conversion to float tensors."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Box(NamedTuple):
    """Rectangle in pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    def __str__(self) -> str:
        return ",".join(map(str, self))

    def grown(self, pixels: int, height: int, width: int) -> "Box":
        """Return the box `pixels` larger on every side, cut at the borders of an image (H, W)."""
        return Box(
            max(0, self.left - pixels),
            max(0, self.top - pixels),
            min(width, self.right + pixels),
            min(height, self.bottom + pixels),
        )

    def relative_to(self, outer: "Box") -> "Box":
        """Return the box in coordinates whose origin is the top left corner of `outer`."""
        return Box(
            self.left - outer.left,
            self.top - outer.top,
            self.right - outer.left,
            self.bottom - outer.top,
        )


def random_box(height: int, width: int, size: int, rng: np.random.Generator) -> Box:
    """Return a square of side `size` anywhere in the image.

    Along a side that is shorter than `size` the box covers all of it.
    """
    # Drawn in this order, left before top: the order decides what a seed gives.
    places_across = max(0, width - size) + 1
    left = int(rng.integers(places_across))
    places_down = max(0, height - size) + 1
    top = int(rng.integers(places_down))
    right = min(left + size, width)
    bottom = min(top + size, height)
    return Box(left, top, right, bottom)


def fixed_boxes(name: str, height: int, width: int, size: int, count: int) -> list[Box]:
    """Return `count` boxes of side `size` that depend only on the arguments, drawn by the name.

    A larger `count` adds boxes and keeps the others, so that stored ratings and pseudo-labels of
    their crops stay valid.
    """
    digest = hashlib.sha256(f"{name}@{size}".encode()).digest()
    seed = int.from_bytes(digest[:8], "little")
    rng = np.random.default_rng(seed)
    return [random_box(height, width, size, rng) for _ in range(count)]


def crop(image: np.ndarray, box: Box, size: int) -> np.ndarray:
    """Return `box` of `image` (H, W) or (H, W, C) as (size, size) or (size, size, C).

    A smaller box is padded by reflection at the right and the bottom.
    """
    part = image[box.top : box.bottom, box.left : box.right]
    height, width = part.shape[:2]
    below = size - height
    right = size - width
    if not below and not right:
        return part
    # The channels, if there are any, are not padded.
    padding = [(0, below), (0, right), (0, 0)]
    return np.pad(part, padding[: image.ndim], mode="reflect")


class Turn(NamedTuple):
    """One of eight orientations of an image: mirrored, upside down, transposed, in this order."""

    mirror: bool = False
    flip: bool = False
    transpose: bool = False

    @classmethod
    def draw(cls, rng: np.random.Generator, use_hflip: bool, use_rot: bool) -> "Turn":
        """Draw each of the three that are allowed with probability 1/2, as BasicSR does."""
        mirror, flip, transpose = rng.random(3) < 0.5
        return cls(
            mirror=bool(use_hflip and mirror),
            flip=bool(use_rot and flip),
            transpose=bool(use_rot and transpose),
        )

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Return the image (H, W) or (H, W, C) turned; (W, H, …) after a transpose."""
        if self.mirror:
            image = image[:, ::-1]
        if self.flip:
            image = image[::-1]
        if self.transpose:
            image = image.swapaxes(0, 1)
        return image


def augmented(
    images: Iterable[np.ndarray | None],
    box: Box,
    size: int,
    turn: Turn,
) -> list[np.ndarray | None]:
    """Return the crops of `images` at one box of side `size`, turned; None stays None."""
    crops: list[np.ndarray | None] = []
    for image in images:
        if image is None:
            crops.append(None)
            continue
        cropped = crop(image, box, size)
        crops.append(turn.apply(cropped))
    return crops


def to_float(image: np.ndarray) -> np.ndarray:
    """Convert uint8 (H, W, 3) to float32 in [0, 1]."""
    contiguous = np.ascontiguousarray(image)
    return contiguous.astype(np.float32) / np.float32(255)


def to_tensor(image: np.ndarray) -> Tensor:
    """Convert uint8 or float32 RGB (H, W, 3) to float32 (3, H, W); uint8 is divided by 255."""
    planes = image.transpose(2, 0, 1)
    tensor = torch.from_numpy(np.ascontiguousarray(planes))
    if tensor.dtype == torch.uint8:
        return tensor.float().div_(255)
    return tensor
