"""Boxes, crops and turns of 8-bit images, and the step to float tensors that comes after them."""

import hashlib
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Box(NamedTuple):
    """A rectangle in pixels; right and bottom lie outside."""

    left: int
    top: int
    right: int
    bottom: int

    def __str__(self) -> str:
        return ",".join(map(str, self))


def random_box(height: int, width: int, size: int, rng: np.random.Generator) -> Box:
    """A square of side `size` anywhere in the image; along a side that is shorter than `size`, all of it."""
    left, top = (int(rng.integers(max(0, length - size) + 1)) for length in (width, height))
    return Box(left, top, min(left + size, width), min(top + size, height))


def fixed_boxes(name: str, height: int, width: int, size: int, count: int) -> list[Box]:
    """`count` boxes of side `size` that depend on the photo's name and size and on `size` alone.

    A larger `count` adds boxes and keeps the others, so that what is known of them (ratings,
    pseudo-labels) stays.
    """
    digest = hashlib.sha256(f"{name}@{size}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    return [random_box(height, width, size, rng) for _ in range(count)]


def crop(image: np.ndarray, box: Box, size: int) -> np.ndarray:
    """`box` of `image` (H, W) or (H, W, C), filled up to `size` x `size` by reflection at the right and the bottom."""
    part = image[box.top : box.bottom, box.left : box.right]
    missing = [(0, size - part.shape[0]), (0, size - part.shape[1])] + [(0, 0)] * (image.ndim - 2)
    return np.pad(part, missing, mode="reflect") if any(after for _, after in missing) else part


class Turn(NamedTuple):
    """One of the eight ways to lay an image: mirrored, upside down, transposed, in this order."""

    mirror: bool = False
    flip: bool = False
    transpose: bool = False

    @classmethod
    def draw(cls, rng: np.random.Generator, use_hflip: bool, use_rot: bool) -> "Turn":
        """As BasicSR draws it: each of the allowed three with probability 1/2."""
        mirror, flip, transpose = rng.random(3) < 0.5
        return cls(bool(use_hflip and mirror), bool(use_rot and flip), bool(use_rot and transpose))

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The image (H, W) or (H, W, C) laid this way; (W, H, …) after a transpose."""
        image = image[:, ::-1] if self.mirror else image
        image = image[::-1] if self.flip else image
        return image.swapaxes(0, 1) if self.transpose else image


def to_float(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) as float32 in [0, 1]."""
    return np.ascontiguousarray(image).astype(np.float32) / np.float32(255)


def to_tensor(image: np.ndarray) -> Tensor:
    """uint8 or float32 RGB (H, W, 3) as a float32 tensor (3, H, W); uint8 is divided by 255."""
    tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return tensor.float().div_(255) if tensor.dtype == torch.uint8 else tensor
