"""Conversion between photos of 8 or 16 bits and the tensors that networks take."""

import cv2
import numpy as np
import torch
from torch import Tensor


def to_tensor(
    photo: np.ndarray,
    area: tuple[int, int, int, int] | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return an RGB photo (H, W, 3), or an area of it, as (1, 3, H, W) in [0, 1] on `device`.

    `area` is (top, bottom, left, right). The photo, uint8 or uint16, is converted on the device:
    that moves a quarter or half of the bytes.
    """
    top, bottom, left, right = area or (0, photo.shape[0], 0, photo.shape[1])
    part = torch.from_numpy(np.ascontiguousarray(photo[top:bottom, left:right])).to(device)
    image = part.permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format)
    return image.div_(np.iinfo(photo.dtype).max)


def to_pixels(image: Tensor, dtype: np.dtype) -> np.ndarray:
    """Return (1, 3, H, W) as an RGB array (H, W, 3) of uint8 or uint16, rounded and clamped."""
    highest = np.iinfo(dtype).max
    levels = (image[0] * highest).round_().clamp_(0, highest)
    # torch supports uint16 in part only; int32 holds its levels.
    whole = levels.to(torch.uint8 if dtype == np.uint8 else torch.int32)
    return whole.cpu().permute(1, 2, 0).numpy().astype(dtype, copy=False)


def shrunk(photo: np.ndarray, longest: int) -> np.ndarray:
    """Return the photo, reduced by area averages if a side is longer than `longest` pixels."""
    height, width = photo.shape[:2]
    share = longest / max(height, width)
    if share >= 1:
        return photo
    return cv2.resize(
        photo,
        (max(1, round(width * share)), max(1, round(height * share))),
        interpolation=cv2.INTER_AREA,
    )
