"""Boxes, crops and turns of 8-bit images, and their conversion to float tensors."""

import hashlib
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
    left = int(rng.integers(max(0, width - size) + 1))
    top = int(rng.integers(max(0, height - size) + 1))
    return Box(left, top, min(left + size, width), min(top + size, height))


def fixed_boxes(name: str, height: int, width: int, size: int, count: int) -> list[Box]:
    """Return `count` boxes of side `size` that depend only on the arguments, drawn by the name.

    A larger `count` adds boxes and keeps the others, so that stored ratings and pseudo-labels of
    their crops stay valid.
    """
    digest = hashlib.sha256(f"{name}@{size}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    return [random_box(height, width, size, rng) for _ in range(count)]


def crop(image: np.ndarray, box: Box, size: int) -> np.ndarray:
    """Return `box` of `image` (H, W) or (H, W, C) as (size, size) or (size, size, C).

    A smaller box is padded by reflection at the right and the bottom.
    """
    part = image[box.top : box.bottom, box.left : box.right]
    below = size - part.shape[0]
    right = size - part.shape[1]
    if not below and not right:
        return part
    padding = [(0, below), (0, right), (0, 0)][: image.ndim]
    return np.pad(part, padding, mode="reflect")


class Turn(NamedTuple):
    """One of eight orientations of an image: mirrored, upside down, transposed, in this order."""

    mirror: bool = False
    flip: bool = False
    transpose: bool = False

    @classmethod
    def draw(cls, rng: np.random.Generator, use_hflip: bool, use_rot: bool) -> "Turn":
        """Draw each of the three that are allowed with probability 1/2, as BasicSR does."""
        mirror, flip, transpose = rng.random(3) < 0.5
        return cls(bool(use_hflip and mirror), bool(use_rot and flip), bool(use_rot and transpose))

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Return the image (H, W) or (H, W, C) turned; (W, H, …) after a transpose."""
        image = image[:, ::-1] if self.mirror else image
        image = image[::-1] if self.flip else image
        return image.swapaxes(0, 1) if self.transpose else image


def to_float(image: np.ndarray) -> np.ndarray:
    """Convert uint8 (H, W, 3) to float32 in [0, 1]."""
    return np.ascontiguousarray(image).astype(np.float32) / np.float32(255)


def to_tensor(image: np.ndarray) -> Tensor:
    """Convert uint8 or float32 RGB (H, W, 3) to float32 (3, H, W); uint8 is divided by 255."""
    tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return tensor.float().div_(255) if tensor.dtype == torch.uint8 else tensor
