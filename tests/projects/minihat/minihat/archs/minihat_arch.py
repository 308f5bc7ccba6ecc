"""Attention in windows between two convolutions."""

import torch.nn.functional as F
from basicsr.archs.arch_util import default_init_weights
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn


@ARCH_REGISTRY.register()
class MiniHAT(nn.Module):
    """Enlarge (N, 3, H, W) `upscale` times; H and W are multiples of `window_size`.

    Other keywords are ignored.
    """

    def __init__(self, in_chans=3, embed_dim=8, window_size=8, upscale=2, num_heads=2, **kwargs):
        super().__init__()
        self.window_size = window_size
        self.conv_first = nn.Conv2d(in_chans, embed_dim, 3, padding=1)
        self.attention = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)
        self.conv_last = nn.Conv2d(embed_dim, in_chans * upscale**2, 3, padding=1)
        self.upsample = nn.PixelShuffle(upscale)
        self.upscale = upscale
        default_init_weights([self.conv_first, self.conv_last], 0.1)

    def forward(self, x):
        features = self.conv_first(x)
        windows = self.cut(features)
        attended, _ = self.attention(windows, windows, windows, need_weights=False)
        features = features + self.join(attended, features.shape)
        return self.upsample(self.conv_last(features)) + F.interpolate(x, scale_factor=self.upscale)

    def cut(self, x):
        n, c, h, w = x.shape
        side = self.window_size
        x = x.view(n, c, h // side, side, w // side, side)
        return x.permute(0, 2, 4, 3, 5, 1).reshape(-1, side * side, c)

    def join(self, windows, shape):
        n, c, h, w = shape
        side = self.window_size
        x = windows.view(n, h // side, w // side, side, side, c)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)
