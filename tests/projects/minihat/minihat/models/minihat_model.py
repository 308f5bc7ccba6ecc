"""Validation of images whose sides are not multiples of the window."""

import torch
from basicsr.models.sr_model import SRModel
from basicsr.utils.matlab_functions import rgb2ycbcr  # where BasicSR 1.3 has it
from basicsr.utils.registry import MODEL_REGISTRY
from torch.nn import functional as F


@MODEL_REGISTRY.register()
class MiniHATModel(SRModel):
    def test(self):
        side, scale = self.opt["network_g"]["window_size"], self.opt.get("scale", 1)
        height, width = self.lq.shape[-2:]
        padded = F.pad(self.lq, (0, -width % side, 0, -height % side), "reflect")
        network = self.net_g_ema if hasattr(self, "net_g_ema") else self.net_g
        network.eval()
        with torch.no_grad():
            self.output = network(padded)[..., : height * scale, : width * scale]
        self.net_g.train()

    def get_current_visuals(self):
        visuals = super().get_current_visuals()
        pixels = visuals["result"].squeeze(0).permute(1, 2, 0).clamp(0, 1).numpy()
        assert rgb2ycbcr(pixels, y_only=True).shape == pixels.shape[:2]
        return visuals
