"""What PatchDDPMModel adds to an option file: `ddpm` at the top level, `train.patches` and `val.sampling`."""

import msgspec

from wxr_plugin.models.train_options import WxrTrainOptions
from wxr_plugin.sampling.patch_ddim import TRAIN_STEPS
from wxr_plugin.schema import AtLeastOne, Block, Loss, NotNegative


class DDPMOptions(Block):
    """The diffusion that is trained."""

    steps: AtLeastOne = TRAIN_STEPS
    """Times that the network learns, 0 … steps - 1."""
    patch: AtLeastOne = 64
    """Side of the patches that the network sees, in training and in sampling, in pixels."""


class DDPMTopOptions(Block):
    """Keys at the top level of the file, for training and testing alike."""

    ddpm: DDPMOptions = msgspec.field(default_factory=DDPMOptions)
    """The diffusion; a file for testing repeats that of training."""


class PatchSamplingOptions(Block):
    """How images are restored in validation and testing."""

    steps: AtLeastOne = 25
    """Times that are visited, at most ddpm.steps; each takes a pass over all patches."""
    stride: AtLeastOne = 16
    """Pixels from one patch to the next, at most ddpm.patch; published are 16 and, slower and better, 4."""
    batch: AtLeastOne = 64
    """Patches that the network sees at once."""
    seed: NotNegative = 0
    """Of the noise; an image's noise follows from this and its pixels."""


class DDPMValOptions(Block):
    """Keys of the `val` block."""

    sampling: PatchSamplingOptions = msgspec.field(default_factory=PatchSamplingOptions)
    """How images are restored."""


class DDPMTrainOptions(WxrTrainOptions):
    """Keys of the `train` block, beside those of WxrModel."""

    pixel_opt: Loss
    """Compares the noise that the network predicts with the true one; {type: MSELoss} as published."""
    patches: AtLeastOne = 16
    """Patches of an image a step, cut at random from its crop of gt_size pixels."""
