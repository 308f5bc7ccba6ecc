"""Small restorers and raters whose results can be computed by hand."""

import numpy as np
import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from wxr_plugin.data.images.io import write_image
from wxr_plugin.schema import Block
from wxr_plugin.vlm.inputs import to_uint8
from wxr_plugin.vlm.rater import Ratings
from wxr_plugin.vlm.registries import RATER_REGISTRY

SIZE = (24, 30)


@ARCH_REGISTRY.register()
class ToyGain(nn.Module):
    """Multiplies an image; images of `refused` pixels across are too much for it."""

    def __init__(self, refused: int = 0):
        super().__init__()
        self.gain, self.refused = nn.Parameter(torch.ones(1)), refused

    def forward(self, image):
        if image.shape[-1] == self.refused:
            raise RuntimeError("the convolution\nwas too wide")
        return image * self.gain


class ToyOptions(Block):
    type: str
    unseen: tuple[float, float] = (9, 9)
    """Images whose mean lies between these get no rating."""


class ToyRater:
    Options = ToyOptions

    def __init__(self, options):
        self.options = options

    @property
    def provenance(self):
        return {"type": type(self).__name__, "unseen": list(self.options.unseen)}

    def rate(self, images):
        mean = torch.stack([image.float().mean() / 255 for image in to_uint8(images)])
        low, high = self.options.unseen
        rating = self.rating(mean).masked_fill((mean >= low) & (mean <= high), torch.nan)
        return Ratings(rating, torch.full((len(mean), 5), torch.nan))


@RATER_REGISTRY.register()
class LikesBright(ToyRater):
    def rating(self, mean):
        return 1 + 4 * mean


@RATER_REGISTRY.register()
class LikesDark(ToyRater):
    def rating(self, mean):
        return 5 - 4 * mean


@RATER_REGISTRY.register()
class LikesHalf(ToyRater):
    def rating(self, mean):
        return 5 - 8 * (mean - 0.5).abs()


def checkpoint(path, gain, **options):
    """Save a restorer that multiplies by `gain`, as our models do, and return its path."""
    network = {"type": "ToyGain", **options}
    torch.save({"params": {"gain": torch.tensor([gain])}, "network_g": network}, path)
    return str(path)


def grey_photos(root, levels):
    """Write a photo of one grey level in [0, 255] for each name."""
    for name, level in levels.items():
        write_image(root / f"{name}.png", np.full((*SIZE, 3), level, np.uint8))
    return root
