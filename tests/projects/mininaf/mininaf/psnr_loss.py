"""The project's own loss, named as one of wxr_plugin's, with one more argument."""

from basicsr.utils.registry import LOSS_REGISTRY
from torch import nn


@LOSS_REGISTRY.register()
class PSNRLoss(nn.Module):
    """Minus the PSNR of images in [0, 1], of their mean over the channels with `toY`."""

    def __init__(self, loss_weight=1.0, reduction="mean", toY=False):
        super().__init__()
        assert reduction == "mean"
        self.loss_weight, self.to_y = loss_weight, toY

    def forward(self, pred, target):
        if self.to_y:
            pred, target = pred.mean(dim=1), target.mean(dim=1)
        error = (pred - target).square().flatten(1).mean(dim=1)
        return self.loss_weight * 10 * (error + 1e-8).log10().mean()
