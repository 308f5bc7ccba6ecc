"""Starting weights of the tiny LLaVA's vision tower: a bank of filters whose answers are rectified.

A short training on a few hundred photos does not find thin streaks and flakes from random weights.
From these it does. Our choice.
"""

import math

import torch
from torch import Tensor, nn


def start_vision(tower: nn.Module, pixels: Tensor) -> None:
    """Set the filters and the first perceptron; `pixels` (N, 3, S, S), normalised, set the scale.

    The filters are then left as they are: Adam's steps, of one size at every pixel, would wreck the
    smooth ones at once (that it is better not to train them: Chen, Xie and He, ICCV 2021, section
    4.2).
    """
    embedding = tower.embeddings.patch_embedding
    embedding.weight.data.copy_(oriented_filters(embedding.out_channels, embedding.kernel_size[0]))
    level_filters(tower, pixels)
    split_signs(tower)
    embedding.weight.requires_grad_(False)


@torch.no_grad()
def level_filters(tower: nn.Module, pixels: Tensor) -> None:
    """Scale the patch filters so that each answers `pixels` with the same deviation.

    Fine waves answer photos a hundred times weaker than smooth ones: without this, the first
    normalisation hides streaks and flakes.
    """
    filters = tower.embeddings.patch_embedding
    filters.weight /= filters(pixels).std((0, 2, 3))[:, None, None, None]


@torch.no_grad()
def split_signs(tower: nn.Module) -> None:
    """Start the first layer's perceptron as rectifiers of each filter's answer, of both signs.

    The mean of rectified waves over a picture distinguishes streaks and flakes; random weights
    would mix the fine waves with the smooth ones first.
    """
    perceptron, width = tower.encoder.layers[0].mlp, tower.config.hidden_size
    signs = 2 * torch.eye(width)
    perceptron.fc1.weight[: 2 * width] = torch.cat([signs, -signs])
    perceptron.fc2.weight.normal_(0, 0.06)


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
