"""The student's view of a real photo: augmented strongly, while the teacher sees the crop itself.

Only colours and sharpness change, so a pseudo-label of the crop fits this view too. The paper does
not state its changes; these are the usual ones of weak-to-strong consistency (FixMatch, Sohn et
al., NeurIPS 2020), our choice.
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
    """Upper limits of the changes; those of each photo are drawn between none and these."""

    colour: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    """Brightness, contrast and saturation change by factors between 1 - colour and 1 + colour."""
    blur: Annotated[float, Meta(ge=0)] = 1.0
    """Standard deviation of a Gaussian blur, in pixels."""
    noise: Annotated[float, Meta(ge=0)] = 0.03
    """Standard deviation of Gaussian noise on images in [0, 1]."""
    erase: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Side of a grey square, as a share of the crop's side."""


def strong_view(images: Tensor, options: StrongAugmentOptions) -> Tensor:
    """Return changed copies of `images` (N, 3, H, W) in [0, 1], in [0, 1] as well.

    All random numbers come from torch's generator on the CPU, so that a resumed run draws the same
    on every device.
    """
    count = len(images)
    uniform = 2 * torch.rand(3, count, 1, 1, 1).to(images) - 1  # in [-1, 1]
    brightness, contrast, saturation = 1 + options.colour * uniform
    images = recoloured(images, brightness, contrast, saturation)
    if options.blur:
        sigma = options.blur * torch.rand(count)
        images = blurred(images, sigma.to(images))
    if options.noise:
        deviation = options.noise * torch.rand(count, 1, 1, 1)
        noise = deviation * torch.randn(images.shape)
        images = images + noise.to(images)
    if options.erase:
        share = options.erase * torch.rand(count)
        images = erased(images, share, torch.rand(count, 2))
    # Noise and colour leave [0, 1].
    return images.clamp(0, 1)


def recoloured(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Change brightness, contrast and saturation of images (N, 3, H, W).

    Factors are (N, 1, 1, 1); 1 changes nothing. Contrast scales the distance to the image's mean,
    saturation the distance to the pixel's grey value.
    """
    images = images * brightness
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + contrast * (images - mean)
    weights = images.new_tensor(LUMA).view(1, 3, 1, 1)
    grey = (images * weights).sum(1, keepdim=True)
    return grey + saturation * (images - grey)


def blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur images (N, C, H, W) with a Gaussian of `sigma` (N,) pixels; edges are mirrored."""
    count, channels, height, width = images.shape
    # Three standard deviations hold 99.7 %; reflection needs a radius below the side.
    radius = min(math.ceil(3 * float(sigma.max())), height - 1, width - 1)
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    deviation = sigma.clamp(min=1e-3).view(-1, 1)
    kernel = torch.exp(-0.5 * (offsets / deviation) ** 2)  # (N, 2 radius + 1)
    kernel = kernel / kernel.sum(1, keepdim=True)
    # One group for each channel of each image, since each image has a kernel of its own.
    groups = count * channels
    kernel = kernel.repeat_interleave(channels, 0)
    padded = F.pad(images, [radius] * 4, mode="reflect")
    flat = padded.reshape(1, groups, height + 2 * radius, -1)
    column = kernel[:, None, :, None]
    row = kernel[:, None, None, :]
    flat = F.conv2d(flat, column, groups=groups)
    flat = F.conv2d(flat, row, groups=groups)
    return flat.view_as(images)


def erased(images: Tensor, share: Tensor, place: Tensor) -> Tensor:
    """Draw a grey square into each of the images (N, C, H, W).

    Its sides are a `share` (N,) of the image's; `place` (N, 2) in [0, 1] is its row and column,
    0 at the top or left edge and 1 at the other.
    """
    images = images.clone()
    height, width = images.shape[-2:]
    for image, part, (row, column) in zip(images, share.tolist(), place.tolist()):
        tall = round(part * height)
        wide = round(part * width)
        top = round(row * (height - tall))
        left = round(column * (width - wide))
        image[:, top : top + tall, left : left + wide] = 0.5
    return images
