"""The mean absolute error of the pixels and of the spectrum."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_loss


def spectral_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference of the orthonormal spectra of images (N, C, H, W); a scalar.

    At equal squared error it is larger for fine detail and regular patterns, such as a mesh, than
    for a shade. After MIMO-UNet (Cho et al., ICCV 2021), whose spectra are not normalised.
    """
    difference = prediction - target
    wide_enough = difference if difference.dtype == torch.float64 else difference.float()
    return torch.fft.rfft2(wide_enough, norm="ortho").abs().mean()


@register_loss
class PixelFrequencyLoss(nn.Module):
    """`loss_weight` * (L1 + `frequency_weight` * `spectral_loss`)."""

    def __init__(self, loss_weight: float = 1.0, frequency_weight: float = 0.5):
        super().__init__()
        self.loss_weight, self.frequency_weight = loss_weight, frequency_weight

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        spectral = spectral_loss(prediction, target)
        return self.loss_weight * (F.l1_loss(prediction, target) + self.frequency_weight * spectral)
