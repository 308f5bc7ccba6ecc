"""Blocks of an option file for the training and sampling of diffusion models."""

from typing import Annotated, Literal

from msgspec import Meta

from wxr_plugin.sampling.methods import Method
from wxr_plugin.sampling.patch_ddim import TRAIN_STEPS
from wxr_plugin.sampling.schedules import STEPS, Schedule, make_schedule
from wxr_plugin.schema import AtLeastOne, Block, NotNegative


class SDEOptions(Block):
    """The stochastic differential equation of training; sampling may take fewer steps."""

    steps: AtLeastOne = STEPS
    """Times that the network learns, 1 … steps."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Growth over time of theta, the speed of the pull to the degraded image."""
    max_sigma: Annotated[float, Meta(ge=0)] = 50
    """Standard deviation of the noise at the last time: from 1 on in 8-bit levels, below 1 in units
    of the image's range. Published: 10 for rain and blur, 30 for shadows and holes, 50 for
    DA-CLIP."""
    eps: Annotated[float, Meta(gt=0, lt=1)] = 0.005
    """Share of the clean image that is left at the last time."""
    precondition: bool = False
    """Scale the network's input and output to unit variance, and count every time alike in the loss
    (docs/irsde.md). Published weights were trained without it."""

    def make(self, steps: int | None = None) -> Schedule:
        """Return the schedule, by default with `self.steps` steps."""
        own_steps = steps or self.steps
        return make_schedule(own_steps, self.schedule, self.max_sigma, self.eps)


class SamplingOptions(Block):
    """Sampling in validation and testing."""

    method: Method = "posterior"
    """posterior: draw the next state given the clean image that the predicted noise implies; sde:
    follow the reverse SDE; ode: follow its probability flow, which adds no noise."""
    steps: AtLeastOne | None = None
    """Forward passes for each image, at most sde.steps (the default)."""
    seed: NotNegative = 0
    """Seed of the noise; an image's noise depends on this seed and its pixels only."""
    tile: AtLeastOne | None = None
    """Side in pixels of the tiles into which larger images are cut; default: no tiles."""
    overlap: NotNegative = 64
    """Overlap of neighbouring tiles in pixels."""

    def __post_init__(self) -> None:
        if not self.tile:
            return
        if self.overlap >= self.tile:
            raise ValueError(f"overlap {self.overlap} must be smaller than tile {self.tile}")


class DDPMOptions(Block):
    """The diffusion of training."""

    steps: AtLeastOne = TRAIN_STEPS
    """Times that the network learns, 0 … steps - 1."""
    patch: AtLeastOne = 64
    """Side in pixels of the network's patches, in training and in sampling."""
