"""The student's view of a real photo: stronger changes than the teacher's, which sees the crop as it is.

Only colours and sharpness change, so a pseudo-label of the crop fits this view too. Which changes
the paper makes is not stated; these are the usual ones of weak-to-strong consistency (FixMatch,
Sohn et al., NeurIPS 2020), our choice.
"""

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor

from wxr_plugin.schema import Block

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the grey value (ITU-R BT.601)."""


class StrongAugmentOptions(Block):
    """The strongest changes; of each photo they are drawn between none and these."""

    colour: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    """Change of brightness, contrast and saturation, each a factor between 1 - colour and 1 + colour."""
    blur: Annotated[float, Meta(ge=0)] = 1.0
    """Standard deviation of a Gaussian blur, in pixels."""
    noise: Annotated[float, Meta(ge=0)] = 0.03
    """Standard deviation of Gaussian noise, images being in [0, 1]."""
    erase: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Side of a square that is made grey, as a share of the crop's."""


def strong_view(images: Tensor, options: StrongAugmentOptions) -> Tensor:
    """Changed copies of `images` (N, 3, H, W) in [0, 1], in [0, 1] as well.

    All random numbers come from torch's generator on the CPU, so that a resumed run draws the same
    on every device.
    """
    factors = 1 + options.colour * (2 * torch.rand(3, len(images), 1, 1, 1).to(images) - 1)
    images = recoloured(images, *factors)
    if options.blur:
        images = blurred(images, options.blur * torch.rand(len(images)).to(images))
    if options.noise:
        strength = options.noise * torch.rand(len(images), 1, 1, 1)
        images = images + (strength * torch.randn(images.shape)).to(images)
    if options.erase:
        images = erased(images, options.erase * torch.rand(len(images)), torch.rand(len(images), 2))
    return images.clamp(0, 1)


def recoloured(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Images (N, 3, H, W) with these factors (N, 1, 1, 1) of brightness, contrast and saturation; 1 changes nothing."""
    images = images * brightness
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + contrast * (images - mean)
    grey = (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return grey + saturation * (images - grey)


def blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """Images (N, C, H, W), each blurred with its `sigma` (N,) in pixels; beyond the edge they are mirrored."""
    count, channels, height, width = images.shape
    radius = min(math.ceil(3 * float(sigma.max())), height - 1, width - 1)
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma.clamp(min=1e-3).view(-1, 1)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat = F.pad(images, [radius] * 4, mode="reflect").reshape(
        1, count * channels, height + 2 * radius, -1
    )
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=count * channels)
    return F.conv2d(flat, kernel[:, None, None, :], groups=count * channels).view_as(images)


def erased(images: Tensor, share: Tensor, place: Tensor) -> Tensor:
    """Images (N, C, H, W) with a grey square each: its side a `share` (N,) of theirs, at `place` (N, 2) in [0, 1]."""
    images = images.clone()
    height, width = images.shape[-2:]
    for image, part, (down, right) in zip(images, share.tolist(), place.tolist()):
        tall, wide = round(part * height), round(part * width)
        top, left = round(down * (height - tall)), round(right * (width - wide))
        image[:, top : top + tall, left : left + wide] = 0.5
    return images
