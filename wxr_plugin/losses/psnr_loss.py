"""The loss of HINet (Chen et al., CVPRW 2021) and NAFNet (Chen et al., ECCV 2022): the PSNR itself, to be raised."""

from torch import Tensor, nn

from wxr_plugin.registry import register_loss

LEAST = 1e-8
"""Added to the squared error as published: an image without error has 80 dB, and a gradient."""


def psnr_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Minus the mean PSNR of images (N, C, H, W) with values in [0, 1], in dB; a scalar, at least -80."""
    error = (prediction - target).square().mean(dim=(1, 2, 3))
    return 10 * (error + LEAST).log10().mean()


@register_loss
class PSNRLoss(nn.Module):
    """`loss_weight` times `psnr_loss`.

    Args:
        loss_weight: factor.
        reduction: mean, the only one; option files of NAFNet have it.

    Raises:
        ValueError: another reduction.
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
