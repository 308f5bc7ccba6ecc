"""Pictures of soft masks: where a network took a photo to be degraded."""

from collections.abc import Sequence

import cv2
import numpy as np
from basicsr.utils import tensor2img
from torch import Tensor

SHARE = 0.5
"""Of the colours in what is laid over the photo."""


def mask_picture(lq: Tensor, masks: Sequence[Tensor]) -> np.ndarray:
    """The photo, the mean of its masks in colour over it, and each mask in grey, side by side; (H, n W, 3) uint8 BGR.

    `lq` is (1, 3, H, W) in [0, 1], `masks` are (1, 1, H, W) in (0, 1), 1 where degraded. Blue is 0 and red is 1; grey
    is stretched to the mask's own range, since masks are told by where they are high, not by how high.
    """
    photo = tensor2img([lq])
    grey = [mask[0, 0].float().cpu().numpy() for mask in masks]
    colours = cv2.applyColorMap(_bytes(np.mean(grey, axis=0)), cv2.COLORMAP_JET)
    over = cv2.addWeighted(colours, SHARE, photo, 1 - SHARE, 0)
    return np.hstack([photo, over, *(cv2.cvtColor(_bytes(_stretched(mask)), cv2.COLOR_GRAY2BGR) for mask in grey)])


def _stretched(mask: np.ndarray) -> np.ndarray:
    low, high = mask.min(), mask.max()
    return (mask - low) / max(high - low, 1e-6)


def _bytes(values: np.ndarray) -> np.ndarray:
    return (255 * values.clip(0, 1)).round().astype(np.uint8)
