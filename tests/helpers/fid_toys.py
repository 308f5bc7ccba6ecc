"""Plug-in for these tests: a small random network in place of Inception, which counts images."""

from functools import cache

import torch
from torch import nn

from wxr_plugin.metrics import fid_features

SEEN: list[int] = []
"""Images in each call."""


class SmallInception(nn.Conv2d):
    """Six features of an image, in the form of pyiqa's Inception."""

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        SEEN.append(len(images))
        return [super().forward(images).relu().mean((2, 3), keepdim=True)]


@cache
def load_inception(weights: str | None, device: torch.device) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SmallInception(3, 6, 7, stride=8).requires_grad_(False).to(device)


fid_features.load_inception = load_inception
