"""Guess of a depth that follows the edges of objects, for haze on photos without a depth map."""

import cv2
import numpy as np

SMALL = 48
"""Side in pixels of the map on which the depth is made; a guide of full size adds the edges."""
RADIUS = 5
"""Radius of the guided filter's window, in pixels of the small map."""


def guess_edges(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Guess the depth of an RGB image (H, W, 3) in [0, 1]: (H, W) float32 in [0, 1], 1 farthest.

    Our choice: the depth of a ground plane below a horizon, of which the image may show only a
    part; objects, that is regions of one colour, are nearer or farther; pale surfaces may be sky.
    The weighted sum is smoothed along the image's edges by the fast guided filter (He and Sun,
    arXiv 1505.00996, 2015).
    """
    small = cv2.resize(image, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
    darkest_channel = small.min(axis=2)
    pale = cv2.GaussianBlur(darkest_channel, (0, 0), 1.5)
    ground = ground_plane(rng)
    objects = _objects(small, rng)
    sky = _spread(pale)
    # Random weights of sum 1, on average 0.61 for the ground, 0.24 for objects, 0.15 for the sky.
    shares = rng.dirichlet((2.5, 1.0, 0.6))
    weights = shares.astype(np.float32)
    cues = zip(weights, (ground, objects, sky))
    depth = sum(weight * cue for weight, cue in cues)
    exponent = rng.uniform(-3.0, -2.0)
    eps = np.float32(10.0**exponent)
    grey = small.mean(axis=2)
    guided = _guided(depth, grey, image, eps)
    return _spread(guided)


def ground_plane(rng: np.random.Generator) -> np.ndarray:
    """Return the depth of a plane seen in perspective, (SMALL, SMALL) in [0, 1], slightly tilted.

    A point of the plane that lies v below the horizon has a depth proportional to 1 / v. At and
    above the horizon the depth is 1. The window into the scene is drawn: it may lie wholly below or
    above the horizon.
    """
    top = rng.uniform(-0.5, 0.7)
    height = rng.uniform(0.25, 1.0)
    tilt = rng.normal(0, 0.12)
    steepness = np.float32(rng.uniform(0.05, 0.5))
    # Heights in the scene relative to the horizon at 0, growing downwards.
    bottom = top + height
    rows = np.linspace(top, bottom, SMALL, dtype=np.float32)
    columns = np.linspace(-tilt, tilt, SMALL, dtype=np.float32)
    heights = rows[:, None] + columns[None]
    below = np.maximum(heights, 0.0)
    return steepness / (below + steepness)


def _objects(small: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a map in [0, 1] of which regions of one colour share a value.

    It is a random function of the colour: a sine along a random direction.
    """
    colour = cv2.GaussianBlur(small, (0, 0), 1.0) - 0.5
    direction = rng.normal(0, 1, 3).astype(np.float32)
    frequency = np.float32(rng.uniform(2.0, 6.0))
    phase = np.float32(rng.uniform(0, 6.3))
    along_direction = colour @ direction
    wave = np.sin(frequency * along_direction + phase)
    return 0.5 + 0.5 * wave


def _guided(
    values: np.ndarray,
    guide: np.ndarray,
    image: np.ndarray,
    eps: np.float32,
) -> np.ndarray:
    """Smooth `values` along the edges of `guide`, both small, at the size of `image`.

    In every window values = slope * guide + offset; both are averaged, enlarged and applied to the
    image's own grey.
    """
    side = 2 * RADIUS + 1
    box = (side, side)
    mean_guide = cv2.blur(guide, box)
    mean_values = cv2.blur(values, box)
    # cov(g, v) = E[g v] - E[g] E[v], var(g) = E[g g] - E[g]^2
    mean_product = cv2.blur(guide * values, box)
    covariance = mean_product - mean_guide * mean_values
    mean_square = cv2.blur(guide * guide, box)
    variance = mean_square - mean_guide * mean_guide
    # eps decides which edges count: those whose variance in the window is far below it vanish.
    slope = covariance / (variance + eps)
    offset = mean_values - slope * mean_guide
    size = image.shape[1::-1]
    mean_slope = cv2.blur(slope, box)
    mean_offset = cv2.blur(offset, box)
    slope = cv2.resize(mean_slope, size, interpolation=cv2.INTER_LINEAR)
    offset = cv2.resize(mean_offset, size, interpolation=cv2.INTER_LINEAR)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    grey = cv2.GaussianBlur(grey, (0, 0), 1.0)
    return slope * grey + offset


def _spread(values: np.ndarray) -> np.ndarray:
    """Scale `values` linearly to [0, 1]; a constant map becomes 0."""
    low = values.min()
    high = values.max()
    if high > low:
        return (values - low) / (high - low)
    return np.zeros_like(values)
