"""Padding and cropping of images for networks that accept only certain sizes."""

import torch
import torch.nn.functional as F
from torch import Tensor


def extended(lq: Tensor, multiple: int, least: int = 0, mode: str = "reflect") -> Tensor:
    """Return images (N, C, H, W) padded at the right and bottom to multiples of `multiple`.

    Both sides of the result are at least `least` pixels; crop the restored images with `cropped`.
    `mode` is a mode of `torch.nn.functional.pad`; where an image is too small to be reflected, its
    last row or column is repeated instead.
    """
    height, width = lq.shape[-2:]
    smallest = least + -least % multiple  # `least`, rounded up to a multiple
    right = max(-width % multiple, smallest - width)
    below = max(-height % multiple, smallest - height)
    # An exported graph holds for all sizes, so it always pads, perhaps by nothing.
    if not torch.compiler.is_exporting() and right == below == 0:
        return lq
    # Reflection needs more pixels than it adds.
    reflectable = below < height and right < width
    if mode == "reflect" and not reflectable:
        mode = "replicate"
    return F.pad(lq, (0, right, 0, below), mode=mode)


def cropped(restored: Tensor, lq: Tensor, scale: int = 1) -> Tensor:
    """Return `restored` (N, C, …) cut to `scale` times the height and width of `lq`."""
    height, width = lq.shape[-2:]
    return restored[..., : height * scale, : width * scale]
