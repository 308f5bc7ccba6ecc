"""Images of any size for networks that take only some: extended before, cropped after."""

import torch.nn.functional as F
from torch import Tensor


def extended(lq: Tensor, multiple: int, least: int = 0, mode: str = "reflect") -> Tensor:
    """Images (N, C, H, W), extended right and below to sides that are multiples of `multiple` and at least `least`.

    Cut the result with `cropped`. `mode` is one of torch's pad; where an image is too small to be
    reflected, its last row or column is repeated instead.
    """
    height, width = lq.shape[-2:]
    right, below = (
        max(-side % multiple, least + -least % multiple - side) for side in (width, height)
    )
    if not (right or below):
        return lq
    if mode == "reflect" and not (below < height and right < width):
        mode = "replicate"
    return F.pad(lq, (0, right, 0, below), mode=mode)


def cropped(restored: Tensor, lq: Tensor, scale: int = 1) -> Tensor:
    """`restored` without what `extended` added to `lq`, at `scale` times its size."""
    return restored[..., : lq.shape[-2] * scale, : lq.shape[-1] * scale]
