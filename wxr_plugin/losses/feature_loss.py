"""L_feat of WResVLM (Xu et al., ECCV 2024, arXiv 2409.02101): a restored photo keeps its structure.

Noise can lower the CLIP losses; it changes the features of Depth Anything's encoder, on which this
loss is computed.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wxr_plugin.losses.guided_loss import GuidedLoss
from wxr_plugin.registry import register_loss


def feature_loss(features: Tensor, target: Tensor) -> Tensor:
    """Return the mean of 1 - cos over images and patches, a scalar.

    Both are tokens (N, T, C), not necessarily of unit length, in the same order.
    """
    return (1 - F.cosine_similarity(features, target, dim=-1)).mean()


@register_loss
class DepthFeatureLoss(GuidedLoss):
    """`loss_weight` times the weighted sum of `feature_loss` to the pseudo-label and to the input.

    Args:
        model: name of the depth encoder, as `load_depth` takes it: tiny, depth-anything-small, a
            folder, a hub id, hf://OWNER/NAME.
        loss_weight: factor on the loss.
        label_weight: weight of the distance to the pseudo-label.
        input_weight: weight of the distance to the unrestored photo. The paper aligns with both and
            states no weights; their mean is our choice.
        cache_mb: memory in MB for features of repeated targets.
        size: shorter side in pixels at which images are encoded; by default their own, rounded to
            whole patches.

    `guide` computes the tokens (N, T, C) of all three images; `cache` holds those of the targets,
    which get no gradient.
    """

    def __init__(
        self,
        model: str = "tiny",
        loss_weight: float = 1.0,
        label_weight: float = 0.5,
        input_weight: float = 0.5,
        cache_mb: float = 256,
        size: int | None = None,
    ):
        super().__init__()
        from wxr_plugin.utils.feature_cache import FeatureCache

        self.model = model
        self.size = size
        self.cache = FeatureCache(cache_mb)
        self.loss_weight = loss_weight
        self.label_weight = label_weight
        self.input_weight = input_weight

    def load_guide(self, device: torch.device) -> Any:
        """Return the depth encoder on `device`."""
        from wxr_plugin.conditioning.depth import load_depth

        return load_depth(self.model, device, self.size)

    def forward(
        self, restored_features: Tensor, label_features: Tensor, input_features: Tensor
    ) -> Tensor:
        # Only the restored image is trained: targets are constants.
        to_label = feature_loss(restored_features, label_features.detach())
        to_input = feature_loss(restored_features, input_features.detach())
        return self.loss_weight * (self.label_weight * to_label + self.input_weight * to_input)
