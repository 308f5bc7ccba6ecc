"""Reproducible noise per image (our choice; the authors seed one generator for all images)."""

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

Generators = torch.Generator | Sequence[torch.Generator] | None
"""Source of noise: a generator, one for each image of the batch, or torch's own."""


def image_generator(
    image: Tensor, seed: int, device: torch.device | None = None
) -> torch.Generator:
    """Return a generator seeded by `seed` and the 8-bit pixels of `image` (3, H, W) in [0, 1].

    So a photo's sample depends neither on other samples nor on its name or place. It depends on the
    type of `device` that draws the noise (default: that of the image): CPU and CUDA generate
    different numbers.
    """
    levels = image.detach().clamp(0, 1) * 255
    pixels = levels.round().byte().cpu()
    data = pixels.contiguous().numpy().tobytes()
    header = f"{seed} {tuple(image.shape)}".encode()
    # A CRC has 32 bits; of a longer seed, torch would use only 32 bits on the CPU.
    crc = zlib.crc32(header + data)
    generator = torch.Generator(device or image.device)
    return generator.manual_seed(crc)


def normal_like(x: Tensor, generator: Generators) -> Tensor:
    """Return standard normal noise with shape, dtype and device of `x` (N, …).

    It is drawn on the device of its generator.

    Raises:
        ValueError: there are several generators, but not one for each image.
    """
    if not isinstance(generator, Sequence):
        device = x.device if generator is None else generator.device
        noise = torch.randn(x.shape, generator=generator, device=device, dtype=x.dtype)
        return noise.to(x.device)
    if len(generator) != len(x):
        raise ValueError(
            f"{len(generator)} generators for {len(x)} images; give one, or one for each image"
        )
    # Each image draws from its own generator, so the batch size has no effect.
    noises = []
    for image, own in zip(x, generator, strict=True):
        noise = normal_like(image[None], own)
        noises.append(noise)
    return torch.cat(noises)
