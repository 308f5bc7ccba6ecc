"""Running an image-to-image function in overlapping tiles whose edges are blended (our choice: linear ramps)."""

from collections.abc import Callable

import torch
from torch import Tensor


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles of `tile` pixels begin so that they cover `length` and neighbours share at least `overlap`."""
    if tile >= length:
        return [0]
    step = tile - overlap
    return [*range(0, length - tile, step), length - tile]


def ramp(length: int, overlap: int, device: torch.device) -> Tensor:
    """Weights (length,) that rise over the first and fall over the last `overlap` pixels and never reach 0."""
    position = torch.arange(length, device=device)
    edge = torch.minimum(position, length - 1 - position) + 1
    return edge.clamp(max=overlap + 1).float() / (overlap + 1)


def run_tiled(function: Callable[[Tensor], Tensor], image: Tensor, tile: int, overlap: int = 32) -> Tensor:
    """Apply `function` to tiles of `image` (N, C, H, W) and blend the results to (N, as many as it gives, H, W).

    The image and the result stay on the image's device; `function` moves one tile at a time to where it computes.
    Raises ValueError if `overlap` is not below `tile`.
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"overlap must lie in [0, tile): got overlap {overlap} for tile {tile}")
    height, width = image.shape[-2:]
    total, weights = None, image.new_zeros(1, 1, height, width)
    for top in starts(height, tile, overlap):
        for left in starts(width, tile, overlap):
            area = (..., slice(top, top + tile), slice(left, left + tile))
            rows, columns = (ramp(n, overlap, image.device) for n in image[area].shape[-2:])
            weight = rows[:, None] * columns
            result = function(image[area]).to(image.device)
            total = image.new_zeros(*result.shape[:-2], height, width) if total is None else total
            total[area] += result * weight
            weights[area] += weight
    return total / weights
