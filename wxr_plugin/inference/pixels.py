"""Photos as arrays of whole numbers, and as the tensors that networks take."""

import cv2
import numpy as np
import torch
from torch import Tensor


def to_tensor(
    photo: np.ndarray,
    area: tuple[int, int, int, int] | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """The part (top, bottom, left, right) of an RGB photo, or all of it, as (1, 3, H, W) in [0, 1] on `device`.

    The photo is uint8 or uint16; it crosses to the device as such, which is a quarter or half as
    much as floats are.
    """
    top, bottom, left, right = area or (0, photo.shape[0], 0, photo.shape[1])
    part = torch.from_numpy(np.ascontiguousarray(photo[top:bottom, left:right])).to(device)
    image = part.permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format)
    return image.div_(np.iinfo(photo.dtype).max)


def to_pixels(image: Tensor, dtype: np.dtype) -> np.ndarray:
    """(1, 3, H, W) as an RGB array (H, W, 3) of uint8 or uint16: rounded, and cut off outside of [0, 1]."""
    highest = np.iinfo(dtype).max
    levels = (image[0] * highest).round_().clamp_(0, highest)
    whole = levels.to(torch.uint8 if dtype == np.uint8 else torch.int32)
    return whole.cpu().permute(1, 2, 0).numpy().astype(dtype, copy=False)


def shrunk(photo: np.ndarray, longest: int) -> np.ndarray:
    """The photo, made smaller (by the mean of areas) if a side is longer than `longest`."""
    height, width = photo.shape[:2]
    share = longest / max(height, width)
    if share >= 1:
        return photo
    return cv2.resize(
        photo,
        (max(1, round(width * share)), max(1, round(height * share))),
        interpolation=cv2.INTER_AREA,
    )
