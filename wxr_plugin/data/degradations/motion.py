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
    image: np.ndarray,
    severity: float,
    rng: np.random.Generator,
    styles: Styles,
) -> np.ndarray:
    """Convolve the photo with a random path in linear light (gamma 2.2), as exposures add up.

    The blur is the same everywhere: objects that move independently, as in GoPro's frames, are not
    modelled.
    """
    unit = size_unit(image.shape[:2])
    length = rng.uniform(*styles.motion.length) * severity * unit
    path = random_path(styles.motion, rng)
    kernel = path_kernel(path * length)
    blurred = cv2.filter2D(linear(image), -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return encoded(blurred)


def random_path(ranges: Motion, rng: np.random.Generator) -> np.ndarray:
    """Return places (STEPS, 2) of the camera at equal times, on a path of length 1 (our choice).

    The direction is a random walk with sudden jerks, and the speed varies smoothly. Blur from
    random trajectories was proposed by Boracchi and Foi, "Modeling the performance of image
    restoration from motion blur", IEEE TIP 2012.
    """
    wobble = rng.uniform(*ranges.wobble)
    turns = rng.normal(0, wobble, STEPS)
    is_jerk = rng.random(STEPS) < ranges.jerk
    jerks = is_jerk * rng.uniform(-math.pi, math.pi, STEPS)
    first_angle = rng.uniform(0, 2 * math.pi)
    angles = first_angle + np.cumsum(turns + jerks)
    directions = np.stack([np.cos(angles), np.sin(angles)], 1)
    # Five random speeds, interpolated linearly over the exposure.
    drawn_speeds = rng.uniform(0.3, 1.0, 5)
    times = np.linspace(0, 4, STEPS)
    speeds = np.interp(times, np.arange(5), drawn_speeds)
    lengths = speeds / speeds.sum()
    steps = lengths[:, None] * directions
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
    side = 2 * half + 1
    kernel = np.zeros((side, side))
    corner = np.floor(path).astype(int)
    left, top = corner.T + half
    # Place within the pixel, in [0, 1).
    part_x, part_y = (path - corner).T
    for dx in (0, 1):
        for dy in (0, 1):
            # Bilinear weights; add.at because several places may share a pixel.
            weight_x = np.abs(1 - dx - part_x)
            weight_y = np.abs(1 - dy - part_y)
            pixels = (top + dy, left + dx)
            np.add.at(kernel, pixels, weight_x * weight_y)
    return (kernel / kernel.sum()).astype(np.float32)
