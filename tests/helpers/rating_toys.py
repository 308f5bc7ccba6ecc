"""Raters for these tests that need no model, and grey images for them."""

import time

import numpy as np
import torch

from wxr_plugin.schema import Block
from wxr_plugin.vlm.rater import Ratings
from wxr_plugin.vlm.registries import RATER_REGISTRY


class BrightnessOptions(Block):
    """Options of BrightnessRater."""

    type: str = "BrightnessRater"
    name: str = "brightness"
    device: str | None = None
    seconds: float = 0.0
    """Time that an image takes."""


@RATER_REGISTRY.register()
class BrightnessRater:
    """1 for black, 5 for white; an image with a red corner cannot be rated."""

    Options = BrightnessOptions

    def __init__(self, options: BrightnessOptions | None = None):
        options = options or BrightnessOptions()
        self.options, self.provenance = options, {"type": options.name}
        self.calls: list[int] = []
        self.broken = False

    def rate(self, images: list[np.ndarray]) -> Ratings:
        self.calls.append(len(images))
        time.sleep(self.options.seconds * len(images))
        if self.broken:
            raise ConnectionError("the server is gone")
        ratings = [
            np.nan if tuple(image[0, 0]) == (255, 0, 0) else 1 + 4 * image.mean() / 255
            for image in images
        ]
        return Ratings(torch.tensor(ratings), torch.zeros(len(images), 5))


def grey(*values: float, size: int = 4) -> torch.Tensor:
    """Return images (N, 3, size, size), each of one grey."""
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 3, size, size).clone()


def red_corner(images: torch.Tensor) -> torch.Tensor:
    """Return the images with a red corner, so that the rater cannot rate them."""
    images = images.clone()
    images[:, 1:, 0, 0] = 0
    images[:, 0, 0, 0] = 1
    return images
