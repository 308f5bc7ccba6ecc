"""How an IR-SDE is trained and sampled, as blocks of an option file."""

from typing import Annotated, Literal

from msgspec import Meta

from wxr_plugin.sampling.patch_ddim import TRAIN_STEPS
from wxr_plugin.sampling.sampler import Method
from wxr_plugin.sampling.schedules import STEPS, Schedule, make_schedule
from wxr_plugin.schema import AtLeastOne, Block, NotNegative


class SDEOptions(Block):
    """The stochastic differential equation that is trained, and with fewer steps sampled."""

    steps: AtLeastOne = STEPS
    """Times that the network learns, 1 … steps."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the pull to the degraded image grows with time."""
    max_sigma: Annotated[float, Meta(ge=0)] = 50
    """Standard deviation of the noise in the end: from 1 on in 8-bit levels, below in units of the image's range.
    Published are 10 for rain and blur, 30 for shadows and holes, 50 for DA-CLIP."""
    eps: Annotated[float, Meta(gt=0, lt=1)] = 0.005
    """Share of the clean image that is left in the end."""

    def make(self, steps: int | None = None) -> Schedule:
        """The schedule, with another number of steps if that is given."""
        return make_schedule(steps or self.steps, self.schedule, self.max_sigma, self.eps)


class SamplingOptions(Block):
    """How images are restored in validation and testing."""

    method: Method = "posterior"
    """posterior: draw the next state given the clean image that the noise implies; sde: the reverse equation; ode: its
    flow without noise."""
    steps: AtLeastOne | None = None
    """Forward passes an image, at most sde.steps, which is the default."""
    seed: NotNegative = 0
    """Of the noise; an image's noise follows from this and its pixels, whatever is sampled before it or beside it."""
    tile: AtLeastOne | None = None
    """Side of the tiles in which the network looks at larger images, in pixels; whole images when absent."""
    overlap: NotNegative = 64
    """Pixels that neighbouring tiles share."""

    def __post_init__(self) -> None:
        if self.tile and self.overlap >= self.tile:
            raise ValueError(f"overlap {self.overlap} must be smaller than tile {self.tile}")


class DDPMOptions(Block):
    """The diffusion that is trained."""

    steps: AtLeastOne = TRAIN_STEPS
    """Times that the network learns, 0 … steps - 1."""
    patch: AtLeastOne = 64
    """Side of the patches that the network sees, in training and in sampling, in pixels."""
