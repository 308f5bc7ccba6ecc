"""Too little light: over the whole picture (low-light), or over a part of it (shadowed)."""

import math

import cv2
import numpy as np

from wxr_plugin.data.degradations.styles import Shadow, Styles
from wxr_plugin.data.weather.fields import size_unit, smooth_noise

GAMMA = 2.2
"""Exponent between a picture's values and light."""


def linear(image: np.ndarray) -> np.ndarray:
    """Values in [0, 1] as light."""
    return np.power(image, np.float32(GAMMA))


def encoded(light: np.ndarray) -> np.ndarray:
    """Light as values in [0, 1]; what is out of range is cut off."""
    return np.power(np.clip(light, 0, 1), np.float32(1 / GAMMA))


def low_light(
    image: np.ndarray, severity: float, rng: np.random.Generator, styles: Styles
) -> np.ndarray:
    """The photo as a shorter exposure would have it: Q((g J k + n)^(1/2.2)), k = 2^-stops, in 8 bits.

    J is the scene's light, g the gains of a white balance that is a little off, and n the noise of
    the photons and of the sensor, of variance J k / electrons + read^2 (as in Foi et al.,
    "Practical Poissonian-Gaussian noise modeling", IEEE TIP 2008), which stands out because there
    is so little light.
    """
    ranges = styles.low_light
    stops, electrons, read = (
        rng.uniform(*bounds) for bounds in (ranges.stops, ranges.electrons, ranges.read)
    )
    cast = rng.choice((-1.0, 1.0), 2) * rng.uniform(*ranges.cast, 2) * severity
    light = (
        linear(image)
        * np.float32([1 + cast[0], 1, 1 + cast[1]])
        * np.float32(2 ** (-stops * severity))
    )
    spread = np.sqrt(light / np.float32(electrons) + np.float32(read**2)) * np.float32(severity)
    light += spread * rng.standard_normal(image.shape, dtype=np.float32)
    return np.round(encoded(light) * np.float32(255)) / np.float32(255)


def shadowed(
    image: np.ndarray, severity: float, rng: np.random.Generator, styles: Styles
) -> np.ndarray:
    """A part of the picture without the direct light: J (1 - M + M k), in linear light.

    M in [0, 1] are polygons with soft edges, and k, a little higher for blue, is what the sky still
    gives; the shadow is a per-channel factor as in Le and Samaras, "Shadow removal via shadow image
    decomposition", ICCV 2019.
    """
    ranges = styles.shadow
    mask = _shadow_mask(image.shape[:2], ranges, rng)
    share, blue = rng.uniform(*ranges.light), rng.uniform(*ranges.blue)
    kept = np.float32([share * (1 - blue), share, share * (1 + blue)])
    return encoded(linear(image) * (1 - np.float32(severity) * mask[..., None] * (1 - kept)))


def _shadow_mask(shape: tuple[int, int], ranges: Shadow, rng: np.random.Generator) -> np.ndarray:
    """M of `shadowed`, (H, W) float32: 1 in the core; the width of the penumbra varies over the picture."""
    mask = np.zeros(shape, np.uint8)
    for _ in range(rng.integers(ranges.shapes[0], ranges.shapes[1] + 1)):
        radius = rng.uniform(*ranges.size) * min(shape)
        cv2.fillPoly(mask, [_polygon(shape, radius, rng)], 255)
    full, unit = mask.astype(np.float32) / 255, size_unit(shape)
    sharp, soft = (cv2.GaussianBlur(full, (0, 0), width * unit) for width in ranges.penumbra)
    share = smooth_noise(shape, 3, rng)
    return sharp + (soft - sharp) * share


def _polygon(shape: tuple[int, int], radius: float, rng: np.random.Generator) -> np.ndarray:
    """Corners (n, 2) of an uneven, stretched polygon about a point of the picture, in whole pixels."""
    count = int(rng.integers(5, 11))
    angles = np.sort(rng.uniform(0, 2 * math.pi, count))
    corners = rng.uniform(0.5, 1.3, count)[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    corners *= (radius * rng.uniform(1, 2.2), radius * rng.uniform(0.4, 0.9))
    turn = rng.uniform(0, math.pi)
    corners = corners @ np.array(
        [[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]
    )
    centre = rng.uniform((0, 0), (shape[1], shape[0]))
    return np.round(corners + centre).astype(np.int32)
