"""Negative PSNR, the loss of HINet (Chen et al., CVPRW 2021) and NAFNet (Chen et al., 2022)."""

from torch import Tensor, nn

from wxr_plugin.registry import register_loss

LEAST = 1e-8
"""Added to the squared error as published: limits PSNR to 80 dB and keeps its gradient finite."""


def psnr_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Return minus the mean PSNR in dB of images (N, C, H, W) in [0, 1]; a scalar, at least -80."""
    # -PSNR = 10 log10(MSE) for a range of 1, image by image.
    error = (prediction - target).square().mean(dim=(1, 2, 3))
    return 10 * (error + LEAST).log10().mean()


@register_loss
class PSNRLoss(nn.Module):
    """`loss_weight` times `psnr_loss`.

    Args:
        loss_weight: factor on the loss.
        reduction: always mean; option files of NAFNet have this key.

    Raises:
        ValueError: `reduction` is not mean.
    """

    def __init__(self, loss_weight: float = 1.0, reduction: str = "mean"):
        super().__init__()
        if reduction != "mean":
            raise ValueError(
                f"PSNRLoss: reduction is mean, not {reduction!r}: PSNR is one number for an image"
            )
        self.loss_weight = loss_weight

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.loss_weight * psnr_loss(prediction, target)
