"""L_ps of WResVLM (Xu et al., ECCV 2024, 2409.02101): L1 to the best-rated restoration so far."""

from torch import Tensor, nn

from wxr_plugin.registry import register_loss


def pseudo_label_loss(prediction: Tensor, label: Tensor, rating: Tensor | None = None) -> Tensor:
    """Return the mean absolute difference of images (N, 3, H, W), a scalar.

    With `rating` (N,) in [1, 5] each image has the weight (rating - 1) / 4: 0 for a label rated bad
    and 1 for an excellent one (our choice; the paper has no weight).
    """
    difference = (prediction - label).abs()
    if rating is None:
        return difference.mean()
    # Not divided by the sum of the weights: bad labels lower the loss of the whole batch.
    return (difference.mean(dim=(1, 2, 3)) * (rating - 1) / 4).mean()


@register_loss
class PseudoLabelLoss(nn.Module):
    """`loss_weight` times `pseudo_label_loss`; the ratings count only with `by_rating`."""

    def __init__(self, loss_weight: float = 1.0, by_rating: bool = False):
        super().__init__()
        self.loss_weight = loss_weight
        self.by_rating = by_rating

    def forward(self, prediction: Tensor, label: Tensor, rating: Tensor) -> Tensor:
        weights = rating if self.by_rating else None
        return self.loss_weight * pseudo_label_loss(prediction, label, weights)
