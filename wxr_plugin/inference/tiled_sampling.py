"""Sampling of images that are too large for the network at once."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from wxr_plugin.inference.tiling import run_tiled
from wxr_plugin.sampling.sampler import sample
from wxr_plugin.sampling.schedules import Schedule


def sample_tiled(
    predict: Callable[[Tensor, Tensor, float], Tensor],
    lq: Tensor,
    schedule: Schedule,
    tile: int | None = 512,
    overlap: int = 64,
    batch: int = 1,
    **settings: Any,
) -> Tensor:
    """Return samples (N, 3, H, W), not clamped, of a network that sees tiles of `tile` pixels.

    There is one state of the whole image, so its noise is drawn once. At every step the network
    looks at overlapping tiles of it, and the noise that it finds in them is blended (our choice).
    Tiles that are sampled apart and blended in the end would each have found their own rain, and
    where they meet the image would be the mean of two: blurred.

    Args:
        predict: predict(xt, lq, time) returns the noise of tiles of the state and of the degraded
            image. Embeddings of the whole image are computed once, outside.
        lq, schedule, settings: as in `sample`.
        tile: side of the tiles, in pixels; a multiple of the network's stride spares it the
            padding. None: all at once.
        overlap: pixels that neighbouring tiles share, below `tile`.
        batch: tiles that `predict` is called on at once.

    Raises:
        ValueError: `overlap` is not below `tile`; and the errors of `sample`.
    """
    if not tile or max(lq.shape[-2:]) <= tile:
        return sample(lambda xt, time: predict(xt, lq, time), lq, schedule, **settings)

    def predict_in_tiles(xt: Tensor, time: float) -> Tensor:
        both = torch.cat((xt, lq), dim=1)  # (N, 6, H, W): state and degraded image are cut alike

        def predict_in_tile(part: Tensor) -> Tensor:
            state, degraded = part.chunk(2, dim=1)
            return predict(state, degraded, time)

        return run_tiled(predict_in_tile, both, tile, overlap, batch)

    return sample(predict_in_tiles, lq, schedule, **settings)
