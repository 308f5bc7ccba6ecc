"""Blur by a camera that moves during the exposure."""

import math

import cv2
import numpy as np

from wxr_plugin.data.degradations.light import encoded, linear
from wxr_plugin.data.degradations.styles import Motion, Styles
from wxr_plugin.data.weather.fields import size_unit

STEPS = 256
"""Number of places of the camera during the exposure."""


def motion_blurry(
    image: np.ndarray, severity: float, rng: np.random.Generator, styles: Styles
) -> np.ndarray:
    """Convolve the photo with a random path in linear light (gamma 2.2), as exposures add up.

    The blur is the same everywhere: objects that move independently, as in GoPro's frames, are not
    modelled.
    """
    length = rng.uniform(*styles.motion.length) * severity * size_unit(image.shape[:2])
    kernel = path_kernel(random_path(styles.motion, rng) * length)
    blurred = cv2.filter2D(linear(image), -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return encoded(blurred)


def random_path(ranges: Motion, rng: np.random.Generator) -> np.ndarray:
    """Return places (STEPS, 2) of the camera at equal times, on a path of length 1 (our choice).

    The direction is a random walk with sudden jerks, and the speed varies smoothly. Blur from
    random trajectories was proposed by Boracchi and Foi, "Modeling the performance of image
    restoration from motion blur", IEEE TIP 2012.
    """
    turns = rng.normal(0, rng.uniform(*ranges.wobble), STEPS)
    jerks = (rng.random(STEPS) < ranges.jerk) * rng.uniform(-math.pi, math.pi, STEPS)
    angles = rng.uniform(0, 2 * math.pi) + np.cumsum(turns + jerks)
    # Five random speeds, interpolated linearly over the exposure.
    speed = np.interp(np.linspace(0, 4, STEPS), np.arange(5), rng.uniform(0.3, 1.0, 5))
    lengths = (speed / speed.sum())[:, None]
    steps = lengths * np.stack([np.cos(angles), np.sin(angles)], 1)
    return np.cumsum(steps, 0)


def path_kernel(path: np.ndarray) -> np.ndarray:
    """Return the blur kernel of a camera at the places `path` (n, 2) in pixels (x, y).

    Each place spreads over the four pixels around it; the kernel's centre is the mean of the
    places.

    Returns:
        A square of odd side, float32 of sum 1.
    """
    path = path - path.mean(0)
    half = math.ceil(np.abs(path).max()) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    corner = np.floor(path).astype(int)
    part = path - corner
    for dx in (0, 1):
        for dy in (0, 1):
            # Bilinear weights; add.at because several places may share a pixel.
            weight = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1])
            columns = corner[:, 0] + dx + half
            rows = corner[:, 1] + dy + half
            np.add.at(kernel, (rows, columns), weight)
    return (kernel / kernel.sum()).astype(np.float32)
