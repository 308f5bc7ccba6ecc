"""Starting filters of the tiny depth model: smooth cosines and Gabor waves. Our choice."""

import math

import torch
from torch import Tensor


def oriented_filters(count: int, size: int) -> Tensor:
    """Return filters (count, 3, size, size): a quarter colour cosines, the rest small Gabor waves.

    The waves are 2 to 10 px long, at any place and direction in the patch, drawn from torch's
    global generator.
    """
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    smooth = [_cosine(index, x / size, y / size) for index in range(count // 4)]
    waves = [_gabor(x, y, size) for _ in range(count - len(smooth))]
    filters = torch.stack(smooth + waves)
    return filters / filters.flatten(1).norm(dim=1)[:, None, None, None]


def _cosine(index: int, x: Tensor, y: Tensor) -> Tensor:
    order, channel = divmod(index, 3)
    colour = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [0.5, 0.5, -1.0]])[channel]
    wave = torch.cos(math.pi * (order // 4) * x) * torch.cos(math.pi * (order % 4) * y)
    return colour[:, None, None] * wave


def _gabor(x: Tensor, y: Tensor, size: int) -> Tensor:
    """Return a wave under a window, one wave wide and up to four long, for flakes and streaks."""
    angle, phase = torch.rand(2) * 2 * math.pi
    length, stretch = 2.2 + 8 * torch.rand(1) ** 2, 1 + 3 * torch.rand(1)
    centre = torch.rand(2) * (size - 4) + 2
    along = (x - centre[0]) * torch.cos(angle) + (y - centre[1]) * torch.sin(angle)
    across = (y - centre[1]) * torch.cos(angle) - (x - centre[0]) * torch.sin(angle)
    window = torch.exp(-(along**2 + (across / stretch) ** 2) / (2 * (0.5 * length) ** 2))
    wave = window * torch.cos(2 * math.pi * along / length + phase)
    colour = 1 + 0.2 * torch.randn(3)
    return colour[:, None, None] * (wave - window * wave.sum() / window.sum())
