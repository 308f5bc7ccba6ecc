"""A layer that BasicSR 1.4.2 does not have, in the project's copy of basicsr."""

from torch import nn


class LayerNorm2d(nn.GroupNorm):
    """Normalise the channels and positions of each image together."""

    def __init__(self, channels):
        super().__init__(1, channels)
