"""Missing light: in the whole picture (low-light), or in a part of it (shadowed)."""

import math

import cv2
import numpy as np

from wxr_plugin.data.degradations.styles import Shadow, Styles
from wxr_plugin.data.weather.fields import size_unit, smooth_noise

GAMMA = 2.2
"""Exponent between a picture's values and light."""


def linear(image: np.ndarray) -> np.ndarray:
    """Convert values in [0, 1] to light."""
    return np.power(image, np.float32(GAMMA))


def encoded(light: np.ndarray) -> np.ndarray:
    """Convert light to values, clipped to [0, 1]."""
    return np.power(np.clip(light, 0, 1), np.float32(1 / GAMMA))


def low_light(
    image: np.ndarray,
    severity: float,
    rng: np.random.Generator,
    styles: Styles,
) -> np.ndarray:
    """Return the photo with a shorter exposure: Q((g J k + n)^(1/2.2)), k = 2^-stops, in 8 bits.

    J is the scene's light, g the gains of a white balance that is a little off, and n the noise of
    the photons and of the sensor, of variance J k / electrons + read^2 (as in Foi et al.,
    "Practical Poissonian-Gaussian noise modeling", IEEE TIP 2008), which is visible because there
    is so little light.
    """
    ranges = styles.low_light
    stops = rng.uniform(*ranges.stops)
    electrons = np.float32(rng.uniform(*ranges.electrons))
    read = rng.uniform(*ranges.read)
    # Gains of red and blue relative to green, each up or down.
    signs = rng.choice((-1.0, 1.0), 2)
    red, blue = signs * rng.uniform(*ranges.cast, 2) * severity
    gains = np.float32([1 + red, 1, 1 + blue])
    exposure = np.float32(2 ** (-stops * severity))
    light = linear(image) * gains * exposure
    # Photon noise grows with the light, the noise of the sensor does not.
    variance = light / electrons + np.float32(read**2)
    deviation = np.sqrt(variance) * np.float32(severity)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    light += deviation * noise
    levels = np.round(encoded(light) * np.float32(255))
    return levels / np.float32(255)


def shadowed(
    image: np.ndarray,
    severity: float,
    rng: np.random.Generator,
    styles: Styles,
) -> np.ndarray:
    """Take the direct light from a part of the picture: J (1 - M + M k), in linear light.

    M in [0, 1] are polygons with soft edges, and k, a little higher for blue, is the share of the
    light that the sky gives; the shadow is a per-channel factor as in Le and Samaras, "Shadow
    removal via shadow image decomposition", ICCV 2019.
    """
    ranges = styles.shadow
    mask = _shadow_mask(image.shape[:2], ranges, rng)
    share = rng.uniform(*ranges.light)
    blue = rng.uniform(*ranges.blue)
    sky = np.float32([share * (1 - blue), share, share * (1 + blue)])
    # 1 - M + M k = 1 - M (1 - k)
    strength = np.float32(severity) * mask[..., None]
    factor = 1 - strength * (1 - sky)
    return encoded(linear(image) * factor)


def _shadow_mask(shape: tuple[int, int], ranges: Shadow, rng: np.random.Generator) -> np.ndarray:
    """Return M of `shadowed`, (H, W) float32: 1 in the core, with a penumbra of varying width."""
    mask = np.zeros(shape, np.uint8)
    fewest, most = ranges.shapes
    count = rng.integers(fewest, most + 1)
    for _ in range(count):
        radius = rng.uniform(*ranges.size) * min(shape)
        corners = _polygon(shape, radius, rng)
        cv2.fillPoly(mask, [corners], 255)
    full = mask.astype(np.float32) / 255
    unit = size_unit(shape)
    # A blend of two blurs is cheaper than a blur whose width varies.
    narrow, wide = ranges.penumbra
    sharp = cv2.GaussianBlur(full, (0, 0), narrow * unit)
    soft = cv2.GaussianBlur(full, (0, 0), wide * unit)
    softness = smooth_noise(shape, 3, rng)
    return sharp + (soft - sharp) * softness


def _polygon(shape: tuple[int, int], radius: float, rng: np.random.Generator) -> np.ndarray:
    """Return the corners (n, 2) of an irregular, stretched polygon, in whole pixels (x, y)."""
    count = int(rng.integers(5, 11))
    angles = rng.uniform(0, 2 * math.pi, count)
    # Sorted, so that the edges do not cross.
    angles = np.sort(angles)
    directions = np.stack([np.cos(angles), np.sin(angles)], 1)
    distances = rng.uniform(0.5, 1.3, count)
    corners = distances[:, None] * directions
    length = radius * rng.uniform(1, 2.2)
    breadth = radius * rng.uniform(0.4, 0.9)
    corners *= (length, breadth)
    turn = rng.uniform(0, math.pi)
    cos = math.cos(turn)
    sin = math.sin(turn)
    rotation = np.array([[cos, sin], [-sin, cos]])
    height, width = shape
    centre = rng.uniform((0, 0), (width, height))
    corners = corners @ rotation + centre
    return np.round(corners).astype(np.int32)
