"""What IRSDEModel adds to an option file: `sde` at the top level, as in the authors' files, and `val.sampling`."""

import msgspec

from wxr_plugin.models.train_options import WxrTrainOptions
from wxr_plugin.sampling.options import SamplingOptions, SDEOptions
from wxr_plugin.schema import Block, Loss


class IRSDETopOptions(Block):
    """Keys at the top level of the file, for training and testing alike."""

    sde: SDEOptions = msgspec.field(default_factory=SDEOptions)
    """The equation; a file for testing repeats that of training."""


class IRSDEValOptions(Block):
    """Keys of the `val` block."""

    sampling: SamplingOptions = msgspec.field(default_factory=SamplingOptions)
    """How images are restored."""


class IRSDETrainOptions(WxrTrainOptions):
    """Keys of the `train` block, beside those of WxrModel."""

    pixel_opt: Loss
    """The matching loss: compares the step that the network predicts with the optimum one; {type: L1Loss} as
    published."""
