"""L_sem of WResVLM (Xu et al., ECCV 2024, arXiv 2409.02101): fit of a photo to its rewritten text.

The authors' slide prints the probability itself; we minimise its negative logarithm, as for L_wpl
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
    """Return the mean of -log p(positive), a scalar; 0 without images.

    p is the softmax of `logit_scale` times the two cosines of an image. `positive` are features of
    each image's rewrite for clear weather (d_pos), `negative` of its description (d_neg); all are
    (M, D) of unit length. The slide prints logit_scale 1.
    """
    if not len(image_features):
        # A sum over nothing: 0 with a gradient.
        return image_features.sum()
    # -log(e^a / (e^a + e^b)) = softplus(b - a)
    difference = (image_features * (negative - positive)).sum(dim=1)
    return F.softplus(logit_scale * difference).mean()


@register_loss
class SemanticLoss(GuidedLoss):
    """`loss_weight` times `semantic_loss`.

    Args:
        clip: name of the CLIP, as `load_clip` takes it; if it is that of WeatherPromptLoss, both
            share one forward.
        logit_scale: 1 as on the slide; CLIP itself was trained with 100. docs/guides.md describes
            its effect.
        loss_weight: factor on the loss.

    `guide` is that CLIP; text features come from its DescriptionFeatures.
    """

    def __init__(self, clip: str = "tiny", logit_scale: float = 1.0, loss_weight: float = 1.0):
        super().__init__()
        self.clip = clip
        self.logit_scale = logit_scale
        self.loss_weight = loss_weight

    def load_guide(self, device: torch.device) -> Any:
        """Return the CLIP on `device`."""
        from wxr_plugin.conditioning.clip import load_clip

        return load_clip(self.clip, device)

    def forward(self, image_features: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        loss = semantic_loss(image_features, positive, negative, self.logit_scale)
        return self.loss_weight * loss
