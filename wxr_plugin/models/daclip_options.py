"""What DaCLIPModel adds to the `train` block, and its groups of parameters."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from wxr_plugin.models.train_options import WxrTrainOptions
from wxr_plugin.schema import Loss

NO_DECAY = ("bn", "ln", "bias", "logit_scale")
"""Parts of names of parameters that are not decayed, as in open_clip's training."""


class DaCLIPTrainOptions(WxrTrainOptions):
    """Keys of the `train` block, beside those of WxrModel."""

    contrastive_opt: Loss | None = None
    """The loss: a DaClipLoss or one that is called alike (features by name) and gives both terms; DaClipLoss with equal
    weights when absent."""


def decay_groups(parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float) -> list[dict[str, Any]]:
    """Two parameter groups of those that learn: vectors, norms, biases and the scale without decay, and the others."""
    learning = [(name, weights) for name, weights in parameters if weights.requires_grad]
    free = [weights.dim() < 2 or any(part in name for part in NO_DECAY) for name, weights in learning]
    return [
        {"params": [weights for (_, weights), is_free in zip(learning, free) if is_free], "weight_decay": 0.0},
        {"params": [weights for (_, weights), is_free in zip(learning, free) if not is_free]}
        | {"weight_decay": weight_decay},
    ]
