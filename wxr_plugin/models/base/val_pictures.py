"""Pictures of a validation for TensorBoard and Weights & Biases: input, restoration and ground truth side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from basicsr.utils import tensor2img
from torch import Tensor

from wxr_plugin.schema import Block, NotNegative

SIDE = 512
"""Longest side of each of the three, in pixels; larger ones are made smaller."""


class WxrValOptions(Block):
    """What WxrModel adds to the `val` block."""

    pictures: NotNegative = 4
    """Photos of each set whose input, restoration and ground truth go to TensorBoard (and from there to Weights &
    Biases) side by side, at most 512 pixels long each, at every validation; 0: none."""


class Pictures:
    """Collects the pictures of one validation of one set.

    Args:
        count: how many to keep at most.
        indices: those of the images that this process restores; the pictures are spread evenly over
            them.
    """

    def __init__(self, count: int, indices: Sequence[int]):
        places = np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)
        self.wanted = {indices[place] for place in places}
        self.strips: dict[str, np.ndarray] = {}

    def add(self, index: int, image: str, visuals: Mapping[str, Tensor]) -> None:
        """Keep the image at `index` if it is chosen; `visuals` has lq, result and perhaps gt, (1, 3, H, W)."""
        if index in self.wanted:
            self.strips[image] = strip(
                [visuals[key] for key in ("lq", "result", "gt") if key in visuals]
            )

    def write(self, tb_logger: Any, name: str, iteration: int) -> None:
        """Write the pictures of the set `name` to a SummaryWriter as validation/NAME/IMAGE."""
        for image, picture in self.strips.items():
            tb_logger.add_image(f"validation/{name}/{image}", picture, iteration, dataformats="HWC")


def strip(images: Sequence[Tensor]) -> np.ndarray:
    """Return images (1, 3, h, w) in [0, 1] side by side, all in the size of the second; uint8 RGB (H, W, 3)."""
    pictures = [tensor2img([image], rgb2bgr=False) for image in images]
    height, width = pictures[1].shape[:2]
    factor = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    kinds = [
        cv2.INTER_NEAREST if picture.shape[0] < size[1] else cv2.INTER_AREA for picture in pictures
    ]
    return np.hstack(
        [cv2.resize(picture, size, interpolation=kind) for picture, kind in zip(pictures, kinds)]
    )
