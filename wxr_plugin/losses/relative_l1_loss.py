"""L1 relative to the error of the input, so that light and heavy weather count alike."""

import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.errors import WxrError
from wxr_plugin.registry import register_loss


def relative_l1(prediction: Tensor, target: Tensor, lq: Tensor, floor: float) -> Tensor:
    """Return the mean over images of |prediction - target| / (|lq - target| + floor), a scalar.

    All images are (N, C, H, W) in [0, 1]; each |.| is the mean over an image. 1 is the error of an
    image that is returned as it is, if `floor` is small. Plain L1 follows the heaviest weather of a
    batch, whose errors are much larger than those of light weather: networks then change the tone
    of photos that need no change. `floor` is the weight of clear images: a larger one lowers it.
    Our choice.
    """
    error = (prediction - target).abs().mean((1, 2, 3))
    # No gradient flows here: lq and target are data.
    scale = (lq - target).abs().mean((1, 2, 3)) + floor
    return (error / scale).mean()


def details(images: Tensor, size: int) -> Tensor:
    """Return (N, C, H, W) without its local means: what is finer than `size` pixels, odd."""
    means = F.avg_pool2d(images, size, stride=1, padding=size // 2, count_include_pad=False)
    return images - means


@register_loss
class RelativeL1Loss(nn.Module):
    """`loss_weight` * `relative_l1`, as the `pixel_opt` of WxrModel and WResVLMModel.

    With a `detail_weight` the relative L1 of the details is added. Streaks and flakes are details,
    tone is not: where the tone behind a veil is a guess, its large and noisy error hides that of
    the particles, and networks are slow to learn to remove them.

    Args:
        loss_weight: factor on the loss.
        floor: added to the error of the input, positive, in [0, 1] as images are.
        detail_weight: factor on the same measure of the details; 0: none.
        detail_size: side in pixels of the window of the local means, odd.
    """

    takes_lq = True
    """Read by models: the degraded images are the third argument."""

    def __init__(
        self,
        loss_weight: float = 1.0,
        floor: float = 0.03,
        detail_weight: float = 0.0,
        detail_size: int = 11,
    ):
        super().__init__()
        if floor <= 0:
            raise WxrError(
                f"RelativeL1Loss: floor is {floor}: take a positive number, such as 0.03"
            )
        if detail_size < 3 or detail_size % 2 == 0:
            raise WxrError(
                f"RelativeL1Loss: detail_size is {detail_size}: take an odd number from 3 on"
            )
        self.loss_weight = loss_weight
        self.floor = floor
        self.detail_weight = detail_weight
        self.detail_size = detail_size

    def forward(self, prediction: Tensor, target: Tensor, lq: Tensor | None = None) -> Tensor:
        """Return the loss; raise WxrError without `lq`, which only models of this package pass."""
        if lq is None:
            raise WxrError("RelativeL1Loss needs the degraded images: take model_type: WxrModel")
        loss = relative_l1(prediction, target, lq, self.floor)
        if self.detail_weight:
            size = self.detail_size
            fine = relative_l1(
                details(prediction, size), details(target, size), details(lq, size), self.floor
            )
            loss = loss + self.detail_weight * fine
        return self.loss_weight * loss
