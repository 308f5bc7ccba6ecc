"""Counter-examples for the tiny LLaVA: damage that must not pass for good visibility.

`DAMAGES` maps a name to a function of (float32 RGB image (H, W, 3) in [0, 1], strength in (0, 1],
generator). Strength 1 ruins the picture; the ranges are our choice. A rater that has never seen
damage likes noise, darkness and contrast, because they look unlike haze.
"""

from collections.abc import Callable

import cv2
import numpy as np
from tiny_data import LUMA

from wxr_plugin.data.weather.camera import jpeg
from wxr_plugin.data.weather.fields import smooth_noise

Damage = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
VIEW = 320
"""Side in pixels of the picture that the model sees; lengths are in its pixels."""


def _unit(image: np.ndarray) -> float:
    """Return how many pixels of `image` become one of the square that the model sees."""
    return max(max(image.shape[:2]) / VIEW, 0.25)


def dark(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Reduce the light to between 70 % and nothing; half of the time with a gamma instead."""
    if rng.random() < 0.5:
        return image * np.float32(0.7 * (1 - strength))
    return image ** np.float32(1.5 + 5 * strength)


def blown_out(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Raise the light until most pixels are white."""
    return image * np.float32(1.2 + 2 * strength) + np.float32(0.6 * strength**2)


def flat(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Pull all pixels towards one random level; at strength 1 nothing is left."""
    level = rng.uniform(0, 1, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(0, 1))
    return image + (level.astype(np.float32) - image) * np.float32(0.3 + 0.7 * strength)


def blur(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Blur by defocus, or by motion in a random direction."""
    size = (0.8 + 4 * strength) * _unit(image)
    if rng.random() < 0.7:
        return cv2.GaussianBlur(image, (0, 0), size)
    length = 2 * int(2 * size) + 1
    middle = length // 2
    turn = cv2.getRotationMatrix2D((middle, middle), rng.uniform(0, 180), 1)
    line = np.zeros((length, length), np.float32)
    line[middle] = 1
    kernel = cv2.warpAffine(line, turn, (length, length))
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def noise(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise, fine or coarse, in colour or in grey; or salt and pepper."""
    height, width, _ = image.shape
    if rng.random() < 0.15:
        values = rng.random((height, width, 1))
        share = 0.01 + 0.15 * strength
        return np.where(values < share, np.float32(values < share / 2), image)
    grain = max(1.0, rng.uniform(0.5, 2.5) * _unit(image))
    shape = (int(height / grain) + 1, int(width / grain) + 1, 1 if rng.random() < 0.3 else 3)
    field = rng.normal(0, 0.03 + 0.22 * strength, shape).astype(np.float32)
    field = cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR)
    return image + field.reshape(height, width, -1)


def compression(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Store as JPEG of low quality, at the size that the model sees."""
    small = _shrunk(image, max(1.0, _unit(image)))
    quality = max(2, round(32 * (1 - strength)))
    corner = rng.integers(0, 8, 2)
    return _enlarged(jpeg(np.clip(small, 0, 1), quality, corner), image)


def pixelation(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Replace blocks of pixels by their mean."""
    small = _shrunk(image, (2.5 + 9 * strength) * _unit(image))
    return _enlarged(small, image, cv2.INTER_NEAREST)


def contrast(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Enlarge the distance to the mean; half of the time the saturation too."""
    middle = image.mean()
    image = middle + (image - middle) * np.float32(1.4 + 2.5 * strength)
    if rng.random() < 0.5:
        grey = (image @ LUMA)[..., None]
        image = grey + (image - grey) * np.float32(1 + 2 * strength)
    return image


def ringing(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Sharpen so much that edges have halos."""
    sigma = rng.uniform(0.7, 4) * _unit(image)
    detail = image - cv2.GaussianBlur(image, (0, 0), sigma)
    return image + detail * np.float32(1.5 + 6 * strength)


def mesh(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Add a regular pattern, as transposed convolutions leave it."""
    rows, columns = np.indices(image.shape[:2], dtype=np.float32)
    angle = rng.choice([0.0, rng.uniform(0, np.pi)])
    wave = 2 * np.pi / (rng.uniform(2.2, 10) * _unit(image))
    along = np.cos(wave * (columns * np.cos(angle) + rows * np.sin(angle)))
    across = np.cos(wave * (rows * np.cos(angle) - columns * np.sin(angle)))
    pattern = along if rng.random() < 0.3 else (along + across) / 2
    tint = rng.uniform(0.5, 1, 3)
    return image + (pattern[..., None] * tint * (0.03 + 0.2 * strength)).astype(np.float32)


def cast(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Change the balance of the channels, by factors or by offsets."""
    change = rng.normal(0, 1, 3)
    change = (change - change.mean()) / max(np.abs(change - change.mean()).max(), 1e-6)
    size = 0.15 + 0.6 * strength
    if rng.random() < 0.5:
        return image * (1 + size * change).astype(np.float32)
    return image + (0.6 * size * change).astype(np.float32)


def blotches(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Darken and brighten regions without regard to outlines."""
    cells = int(rng.integers(4, 10))
    field = 2 * smooth_noise(image.shape[:2], cells, rng) - 1
    size = 0.25 + 0.75 * strength
    return image * (1 + size * field[..., None]) - np.float32(0.2 * size) * field[..., None]


def posterised(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Keep few levels of each channel."""
    levels = round(8 - 6 * strength)
    return np.round(image * levels) / np.float32(levels)


DAMAGES: dict[str, Damage] = {
    damage.__name__: damage
    for damage in (
        dark,
        blown_out,
        flat,
        blur,
        noise,
        compression,
        pixelation,
        contrast,
        ringing,
        mesh,
        cast,
        blotches,
        posterised,
    )
}


SUBTLE = ("noise",) * 4 + ("compression",) * 3 + ("blotches",) * 3
"""Damages that are hard to see, drawn more often than the others by as many entries."""


def draw_damage(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Return the image with one random damage, float32 in [0, 1], and the loss of visibility.

    The loss is 0.3 for the weakest damage and 1 for the strongest.
    """
    strength = float(rng.random())
    damage = DAMAGES[str(rng.choice((*DAMAGES, *SUBTLE)))]
    damaged = np.clip(damage(image, strength, rng), 0, 1).astype(np.float32)
    return damaged, 0.3 + 0.7 * strength


def _shrunk(image: np.ndarray, factor: float) -> np.ndarray:
    height, width = (max(2, round(side / factor)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _enlarged(small: np.ndarray, like: np.ndarray, how: int = cv2.INTER_LINEAR) -> np.ndarray:
    return cv2.resize(small, like.shape[1::-1], interpolation=how)
