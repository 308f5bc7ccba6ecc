"""Mean absolute error of the pixels and of the spectrum."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_loss


def spectral_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference of the orthonormal spectra of images (N, C, H, W).

    The result is a scalar. For errors of equal energy it is larger for fine detail and regular
    patterns, such as a mesh, than for a smooth shade. After MIMO-UNet (Cho et al., ICCV 2021),
    whose spectra are not normalised.
    """
    difference = prediction - target
    # rfft2 has no half precision on a CPU.
    if difference.dtype != torch.float64:
        difference = difference.float()
    return torch.fft.rfft2(difference, norm="ortho").abs().mean()


@register_loss
class PixelFrequencyLoss(nn.Module):
    """`loss_weight` * (L1 + `frequency_weight` * `spectral_loss`)."""

    def __init__(self, loss_weight: float = 1.0, frequency_weight: float = 0.5):
        super().__init__()
        self.loss_weight = loss_weight
        self.frequency_weight = frequency_weight

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        pixels = F.l1_loss(prediction, target)
        spectral = spectral_loss(prediction, target)
        return self.loss_weight * (pixels + self.frequency_weight * spectral)
