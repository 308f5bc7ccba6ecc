"""Plug-in for these tests: a network of one convolution, brightness raters, and a describer."""

import time

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from wxr_plugin.schema import Block
from wxr_plugin.vlm.inputs import to_uint8
from wxr_plugin.vlm.rater import Ratings
from wxr_plugin.vlm.registries import DESCRIBER_REGISTRY, RATER_REGISTRY


@ARCH_REGISTRY.register()
class RunNet(nn.Module):
    """A convolution and a skip; at first it changes nothing."""

    def __init__(self, width: int = 3):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def forward(self, x):
        return x + self.conv(x)


class RunRaterOptions(Block):
    type: str
    seconds: float = 0.0
    """Time that an image takes."""
    weights_path: str | None = None
    device: str | None = None


class RunRater:
    Options = RunRaterOptions

    def __init__(self, options):
        self.options = options

    @property
    def provenance(self):
        return {"type": type(self).__name__}

    def rate(self, images):
        images = list(to_uint8(images))
        time.sleep(self.options.seconds * len(images))
        with open("calls.txt", "a") as log:
            log.writelines(f"{type(self).__name__}\n" for _ in images)
        mean = torch.tensor([float(image.float().mean() / 255) for image in images])
        return Ratings(self.rating(mean), torch.full((len(mean), 5), torch.nan))


@RATER_REGISTRY.register()
class RunBright(RunRater):
    def rating(self, mean):
        return 1 + 4 * mean


@RATER_REGISTRY.register()
class RunBrighter(RunRater):
    def rating(self, mean):
        return 1 + 4 * mean.sqrt()


class RunDescriberOptions(Block):
    type: str
    word: str = "heavy rain"


@DESCRIBER_REGISTRY.register()
class RunDescriber:
    Options = RunDescriberOptions

    def __init__(self, options):
        self.options = options
        self.provenance = {"type": "RunDescriber", "word": options.word}

    def describe(self, images):
        return [f"A street in {self.options.word}." for _ in images]
