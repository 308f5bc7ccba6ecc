"""L_sem of WResVLM (Xu et al., ECCV 2024, arXiv 2409.02101): a restored photo must fit its rewritten text.

The authors' slide prints the probability itself; its negative logarithm is minimised, as for L_wpl
(our reading).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wxr_plugin.losses.guided_loss import GuidedLoss
from wxr_plugin.registry import register_loss


def semantic_loss(
    image_features: Tensor, positive: Tensor, negative: Tensor, logit_scale: float = 1.0
) -> Tensor:
    """Mean of -log p(positive), a scalar, p being the softmax of `logit_scale` times two cosines.

    `image_features` (M, D), and of each image the features of its rewrite for clear weather
    (`positive`, d_pos) and of its description (`negative`, d_neg), all (M, D) of unit length. The
    slide prints logit_scale 1. No images at all give 0.
    """
    if not len(image_features):
        return image_features.sum()
    return F.softplus(logit_scale * (image_features * (negative - positive)).sum(dim=1)).mean()


@register_loss
class SemanticLoss(GuidedLoss):
    """`loss_weight` times `semantic_loss`.

    Args:
        clip: name of the CLIP, as `load_clip` takes it; with that of WeatherPromptLoss one forward
            serves both.
        logit_scale: 1 as the slide prints; CLIP itself was trained with 100. docs/guides.md tells
            what it changes.

    `guide` is that CLIP; DescriptionFeatures of the same one gives the text features.
    """

    def __init__(self, clip: str = "tiny", logit_scale: float = 1.0, loss_weight: float = 1.0):
        super().__init__()
        self.clip, self.logit_scale, self.loss_weight = clip, logit_scale, loss_weight

    def load_guide(self, device: torch.device) -> Any:
        """Return the CLIP on `device`."""
        from wxr_plugin.conditioning.clip import load_clip

        return load_clip(self.clip, device)

    def forward(self, image_features: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return self.loss_weight * semantic_loss(
            image_features, positive, negative, self.logit_scale
        )
