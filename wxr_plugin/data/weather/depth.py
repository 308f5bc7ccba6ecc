"""A guessed depth that is smooth and stops at the edges of objects, for haze on photos without a depth map."""

import cv2
import numpy as np

SMALL = 48
"""Side of the map on which the depth is made; the edges come back through a guide of full size."""
RADIUS = 5
"""Radius of the guided filter's window, in pixels of the small map."""


def guess_edges(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a plausible depth of an RGB image (H, W, 3) in [0, 1]: (H, W) float32 in [0, 1], 1 the farthest.

    Our choice: the depth of a ground plane below a horizon, of which the image may show a part
    only; objects, that is regions of one colour, stand nearer or farther; pale surfaces may be sky.
    The sum is smoothed along the image's edges by the fast guided filter (He and Sun, arXiv
    1505.00996, 2015).
    """
    small = cv2.resize(image, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
    pale = cv2.GaussianBlur(small.min(axis=2), (0, 0), 1.5)
    maps = (ground_plane(rng), _objects(small, rng), _spread(pale))
    weights = rng.dirichlet((2.5, 1.0, 0.6)).astype(np.float32)
    depth = sum(weight * layer for weight, layer in zip(weights, maps))
    eps = np.float32(10.0 ** rng.uniform(-3.0, -2.0))
    return _spread(_guided(depth, small.mean(axis=2), image, eps))


def ground_plane(rng: np.random.Generator) -> np.ndarray:
    """Return the depth of a plane seen in perspective, (SMALL, SMALL) in [0, 1], slightly tilted.

    A point of the plane that lies v below the horizon has a depth proportional to 1 / v. At and
    above the horizon the depth is 1. The window into the scene is drawn: it may lie wholly below or
    above the horizon.
    """
    top, height = rng.uniform(-0.5, 0.7), rng.uniform(0.25, 1.0)
    tilt, steepness = rng.normal(0, 0.12), rng.uniform(0.05, 0.5)
    rows = np.linspace(top, top + height, SMALL, dtype=np.float32)[:, None]
    columns = np.linspace(-tilt, tilt, SMALL, dtype=np.float32)[None]
    below = np.maximum(rows + columns, 0.0)
    return np.float32(steepness) / (below + np.float32(steepness))


def _objects(small: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a map in [0, 1] that is a random function of the colour, so that regions of one colour share a depth."""
    colour = cv2.GaussianBlur(small, (0, 0), 1.0) - 0.5
    direction = rng.normal(0, 1, 3).astype(np.float32)
    return 0.5 + 0.5 * np.sin(
        np.float32(rng.uniform(2.0, 6.0)) * (colour @ direction) + np.float32(rng.uniform(0, 6.3))
    )


def _guided(
    values: np.ndarray, guide: np.ndarray, image: np.ndarray, eps: np.float32
) -> np.ndarray:
    """Smooth `values` along the edges of `guide`, both small, and return them at the size of `image`.

    In every window values = a guide + b; a and b are averaged, enlarged and used with the image's
    own grey.
    """
    box = (2 * RADIUS + 1, 2 * RADIUS + 1)
    mean_guide, mean_values = cv2.blur(guide, box), cv2.blur(values, box)
    covariance = cv2.blur(guide * values, box) - mean_guide * mean_values
    variance = cv2.blur(guide * guide, box) - mean_guide * mean_guide
    slope = covariance / (variance + eps)
    offset = mean_values - slope * mean_guide
    size = image.shape[1::-1]
    slope, offset = (
        cv2.resize(cv2.blur(part, box), size, interpolation=cv2.INTER_LINEAR)
        for part in (slope, offset)
    )
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1.0)
    return slope * grey + offset


def _spread(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
