"""Training pictures of the tiny models: views of clean photos, their light, and noise and JPEG."""

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torchvision.transforms.v2 import functional as F

from wxr_plugin.data.images.io import list_images, read_image

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of luminance."""


def read_photos(folders: list[Path]) -> list[np.ndarray]:
    """Read all photos below some folders, in the order of their paths: uint8 RGB (H, W, 3)."""
    photos = [read_image(path) for folder in folders for path in list_images(folder)]
    if not photos:
        raise SystemExit(f"no photos below {', '.join(map(str, folders))}")
    return photos


def draw_view(photo: np.ndarray, rng: np.random.Generator, crop: float, scale: float) -> np.ndarray:
    """Draw the photo or a crop of 96 px or more, scaled, perhaps mirrored; float32 RGB (h, w, 3).

    `crop` and `scale` are the chances of a crop and of another scale.
    """
    image = Image.fromarray(photo)
    if rng.random() < crop:
        width, height = (int(rng.uniform(min(96, side), side)) for side in image.size)
        left, top = (
            int(rng.uniform(0, image.width - width)),
            int(rng.uniform(0, image.height - height)),
        )
        image = image.crop((left, top, left + width, top + height))
    factor = rng.uniform(200, 640) / max(image.size) if rng.random() < scale else 1.0
    image = image.resize(
        [max(32, round(side * factor)) for side in image.size], Image.Resampling.BICUBIC
    )
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image, np.float32) / 255


def change_light(image: np.ndarray, rng: np.random.Generator, overcast: bool) -> np.ndarray:
    """Change gamma, contrast, saturation and colour cast: grey or dark must not mean weather.

    `overcast` gives the flat, cool, colourless light under clouds: likelier in bad weather, and not
    absent without.
    """
    saturation = rng.uniform(0.1, 0.7) if overcast else rng.uniform(0.6, 1.4)
    if rng.random() < 0.06:
        saturation = 0.0
    contrast, gamma = rng.uniform(0.7, 1.25), np.exp(rng.normal(0, 0.3))
    grey = (image @ LUMA)[..., None]
    image = np.clip(grey + (image - grey) * np.float32(saturation), 0, 1) ** np.float32(gamma)
    cast = rng.normal(0, 0.03, 3) + (np.array([-0.02, 0, 0.02]) if overcast else 0)
    level = image.mean()
    image = level + (image - level) * np.float32(contrast) + cast.astype(np.float32)
    return np.clip(image, 0, 1, out=image).astype(np.float32)


def as_bytes(image: np.ndarray) -> np.ndarray:
    """Convert float pictures in [0, 1] (values outside are clipped) to uint8."""
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def recompress(
    image: np.ndarray, rng: np.random.Generator, noise: float, blur: float, jpeg: float
) -> np.ndarray:
    """Convert to uint8, perhaps with noise, blur and JPEG, as photos get after any weather.

    `noise`, `blur` and `jpeg` are the chances of each.
    """
    if rng.random() < noise:
        image = image + rng.normal(0, rng.uniform(0.005, 0.04), image.shape).astype(np.float32)
    picture = Image.fromarray(as_bytes(image))
    if rng.random() < blur:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    if rng.random() < jpeg:
        picture = as_jpeg(picture, int(rng.uniform(40, 96)))
    return np.asarray(picture)


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """Return the picture after it was stored as a JPEG of that quality."""
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def to_square(image: np.ndarray, side: int) -> np.ndarray:
    """Resize uint8 (H, W, 3) to (3, side, side), antialiased, as the models' preprocessing does."""
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    return F.resize(tensor, [side, side], F.InterpolationMode.BICUBIC, antialias=True).numpy()
