"""Networks called as BasicSR's are, which therefore carry the suffix `_basicsr` there."""

from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import spectral_norm


@ARCH_REGISTRY.register()
class SRVGGNetCompact(nn.Module):
    """Two convolutions at the size of the input, (N, 3, H, W) to (N, 3, 2H, 2W)."""

    def __init__(self, num_feat=8, upscale=2):
        super().__init__()
        self.upscale = upscale
        self.body = nn.Sequential(
            nn.Conv2d(3, num_feat, 3, padding=1),
            nn.PReLU(num_feat),
            nn.Conv2d(num_feat, 3 * upscale**2, 3, padding=1),
            nn.PixelShuffle(upscale),
        )

    def forward(self, x):
        return self.body(x) + F.interpolate(x, scale_factor=self.upscale)


@ARCH_REGISTRY.register()
class UNetDiscriminatorSN(nn.Module):
    """A value for each pixel of (N, 3, H, W), from one level down and up again."""

    def __init__(self, num_feat=4, levels=1):
        super().__init__()
        self.down = spectral_norm(nn.Conv2d(3, num_feat, 4, 2, 1))
        self.up = nn.Conv2d(num_feat, 1, 3, padding=1)

    def forward(self, x):
        features = F.leaky_relu(self.down(x), 0.2)
        return self.up(F.interpolate(features, scale_factor=2))
