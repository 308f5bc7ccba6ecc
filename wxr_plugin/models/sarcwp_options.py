"""What SarCwpModel adds to the `train` and `val` blocks."""

from wxr_plugin.models.train_options import WxrTrainOptions
from wxr_plugin.schema import Block, Loss


class SarCwpTrainOptions(WxrTrainOptions):
    """WxrModel's, and the loss on the masks."""

    srd_opt: Loss | None = None
    """Trains the masks of network_g towards what CLIP finds degraded: {type: ClipSRDLoss, ...}. Off when absent."""


class SarCwpValOptions(Block):
    """Pictures of the masks."""

    save_masks: bool = False
    """With save_img: beside each restored image write one of what the network took to be degraded
    (<image>_<iter>_masks.png): the photo, the mean of the masks in colour over it, and each stage's mask in grey."""
