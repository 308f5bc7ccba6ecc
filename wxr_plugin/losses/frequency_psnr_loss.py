"""The PSNR and the error of the spectrum, both in dB."""

import torch
from torch import Tensor, nn

from wxr_plugin.losses.psnr_loss import LEAST, psnr_loss
from wxr_plugin.registry import register_loss


def spectral_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over images of 20 log10 of the mean absolute difference of their orthonormal spectra, in dB; a scalar.

    Images are (N, C, H, W) with values in [0, 1]. The mean of absolute values weighs fine detail and regular patterns,
    such as a mesh, more than the squared error does. The L1 of spectra is that of MIMO-UNet (Cho et al., ICCV 2021);
    the logarithm is our choice, so that it goes with the PSNR.
    """
    difference = torch.fft.rfft2(_at_least_float32(prediction - target), norm="ortho").abs().mean(dim=(1, 2, 3))
    return 20 * (difference + LEAST**0.5).log10().mean()


@register_loss
class FrequencyPSNRLoss(nn.Module):
    """`loss_weight` * (`psnr_loss` + `frequency_weight` * `spectral_loss`); every image counts alike."""

    def __init__(self, loss_weight: float = 1.0, frequency_weight: float = 0.5):
        super().__init__()
        self.loss_weight, self.frequency_weight = loss_weight, frequency_weight

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.loss_weight * (
            psnr_loss(prediction, target) + self.frequency_weight * spectral_loss(prediction, target)
        )


def _at_least_float32(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()
