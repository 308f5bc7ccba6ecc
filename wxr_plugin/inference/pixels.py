"""Conversion between photos of 8 bits, 16 bits or floats and the tensors that networks take."""

import cv2
import numpy as np
import torch
from torch import Tensor


def white_of(dtype: np.dtype) -> int:
    """Return the value of white: 1 for floats, the highest one for integers."""
    return 1 if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).max


def to_tensor(
    photo: np.ndarray,
    area: tuple[int, int, int, int] | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return an RGB photo (H, W, 3), or an area of it, as (1, 3, H, W) in [0, 1] on `device`.

    `area` is (top, bottom, left, right). The photo, uint8, uint16 or float32, is converted on the
    device: that moves a quarter or half of the bytes of integers.
    """
    if area:
        top, bottom, left, right = area
        photo = photo[top:bottom, left:right]
    contiguous = np.ascontiguousarray(photo)
    part = torch.from_numpy(contiguous).to(device)
    # (H, W, 3) -> (1, 3, H, W)
    image = part.permute(2, 0, 1)[None]
    image = image.to(torch.float32, memory_format=torch.contiguous_format)
    return image.div_(white_of(photo.dtype))


def to_pixels(image: Tensor, dtype: np.dtype) -> np.ndarray:
    """Return (1, 3, H, W) as an RGB array (H, W, 3) of uint8, uint16 or float32, clamped.

    Integers are rounded.
    """
    highest = white_of(dtype)
    if dtype == np.float32:
        return image[0].float().clamp(0, 1).cpu().permute(1, 2, 0).numpy()
    levels = image[0] * highest
    levels.round_().clamp_(0, highest)
    # torch supports uint16 in part only; int32 holds its levels.
    kind = torch.uint8 if dtype == np.uint8 else torch.int32
    # (3, H, W) -> (H, W, 3)
    pixels = levels.to(kind).cpu().permute(1, 2, 0)
    return pixels.numpy().astype(dtype, copy=False)


def shrunk(photo: np.ndarray, longest: int) -> np.ndarray:
    """Return the photo, reduced by area averages if a side is longer than `longest` pixels."""
    height, width = photo.shape[:2]
    share = longest / max(height, width)
    if share >= 1:
        return photo
    # At least one pixel, also of a photo that is a line.
    width = max(1, round(width * share))
    height = max(1, round(height * share))
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
