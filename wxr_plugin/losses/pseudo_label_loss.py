"""L_ps of WResVLM (Xu et al., ECCV 2024, arXiv 2409.02101): the student against the best-rated restoration so far."""

from torch import Tensor, nn

from wxr_plugin.registry import register_loss


def pseudo_label_loss(prediction: Tensor, label: Tensor, rating: Tensor | None = None) -> Tensor:
    """Mean absolute difference of images (N, 3, H, W), a scalar.

    With `rating` (N,) in [1, 5] each image counts with (rating - 1) / 4, so that a label rated bad
    teaches nothing and an excellent one fully (our choice; the paper has no weight).
    """
    difference = (prediction - label).abs()
    if rating is None:
        return difference.mean()
    return (difference.mean(dim=(1, 2, 3)) * (rating - 1) / 4).mean()


@register_loss
class PseudoLabelLoss(nn.Module):
    """`loss_weight` times `pseudo_label_loss`; the ratings count only with `by_rating`."""

    def __init__(self, loss_weight: float = 1.0, by_rating: bool = False):
        super().__init__()
        self.loss_weight, self.by_rating = loss_weight, by_rating

    def forward(self, prediction: Tensor, label: Tensor, rating: Tensor) -> Tensor:
        return self.loss_weight * pseudo_label_loss(
            prediction, label, rating if self.by_rating else None
        )
