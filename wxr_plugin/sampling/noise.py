"""Noise that is the same wherever and whenever it is drawn (our choice; the authors seed one generator for all)."""

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

Generators = torch.Generator | Sequence[torch.Generator] | None
"""Where noise comes from: a generator, one an image of the batch, or torch's own."""


def image_generator(
    image: Tensor, seed: int, device: torch.device | None = None
) -> torch.Generator:
    """Return a generator whose numbers follow from `seed` and the 8-bit pixels of `image` (3, H, W) in [0, 1].

    So a photo's sample does not depend on what is sampled before it or next to it, nor on its name
    or place. It does depend on the kind of `device` that draws the noise (that of the image when
    None): CPU and CUDA number differently.
    """
    pixels = (image.detach().clamp(0, 1) * 255).round().byte().cpu().contiguous()
    words = f"{seed} {tuple(image.shape)}".encode() + pixels.numpy().tobytes()
    # of a longer seed, torch would use 32 bits on the CPU
    return torch.Generator(device or image.device).manual_seed(zlib.crc32(words))


def normal_like(x: Tensor, generator: Generators) -> Tensor:
    """Return standard normal noise like `x` (N, …), drawn on the device of its generator and then moved to x's.

    Raises ValueError if there are several generators, but not one an image.
    """
    if not isinstance(generator, Sequence):
        device = x.device if generator is None else generator.device
        return torch.randn(x.shape, generator=generator, device=device, dtype=x.dtype).to(x.device)
    if len(generator) != len(x):
        raise ValueError(
            f"{len(generator)} generators for {len(x)} images; give one, or one an image"
        )
    return torch.cat([normal_like(part[None], one) for part, one in zip(x, generator, strict=True)])
