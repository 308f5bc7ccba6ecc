"""Drops of water on a pane before the lens."""

import math
from typing import NamedTuple

import cv2
import numpy as np

from wxr_plugin.data.degradations.styles import Raindrops, Styles
from wxr_plugin.data.weather.fields import size_unit

SHRINK = 4
"""Drops show the scene much smaller than it is, so they look it up in a picture this many times smaller."""


class _Drop(NamedTuple):
    """Where on the pane a drop lies and what it does to the light."""

    centre: np.ndarray
    radii: np.ndarray
    lobes: np.ndarray
    phases: np.ndarray
    view: float
    soft: float
    rim: float


def raindrop(
    image: np.ndarray, severity: float, rng: np.random.Generator, styles: Styles
) -> np.ndarray:
    """Drops on the photo: (1 - M) J + M T, as in Qian et al., "Attentive GAN for raindrop removal", CVPR 2018.

    In T each drop is a lens: it shows a wide part of the scene, upside down and mirrored, darker
    towards its rim and out of focus (our choice, in place of tracing rays). `severity` adds drops.
    """
    shape, ranges = image.shape[:2], styles.raindrops
    budget = rng.uniform(*ranges.cover) * severity * shape[0] * shape[1]
    result, small = image.copy(), _small(image)
    while budget > 0:
        drop = _draw(shape, ranges, rng)
        budget -= math.pi * drop.radii.prod()
        _put(result, small, drop)
    return np.clip(result, 0, 1, out=result)


def _draw(shape: tuple[int, int], ranges: Raindrops, rng: np.random.Generator) -> _Drop:
    low, high = ranges.radius
    radius = low * (high / low) ** (rng.random() ** 1.5) * size_unit(shape)
    radii = radius * np.array([1.0, rng.uniform(0.9, 1.5)])
    lobes = rng.normal(0, 0.07, 3)
    rest = (rng.uniform(*bounds) for bounds in (ranges.view, ranges.soft, ranges.rim))
    return _Drop(
        rng.uniform((0, 0), shape[::-1]), radii, lobes, rng.uniform(0, 2 * math.pi, 3), *rest
    )


def _put(result: np.ndarray, small: np.ndarray, drop: _Drop) -> None:
    """Lay one drop over `result`, in place."""
    reach = drop.radii * 1.6 + 2
    left, top = np.maximum(drop.centre - reach, 0).astype(int)
    right, bottom = np.minimum(drop.centre + reach + 1, result.shape[1::-1]).astype(int)
    x, y = np.meshgrid(
        np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32)
    )
    u, v = (x - drop.centre[0]) / drop.radii[0], (y - drop.centre[1]) / drop.radii[1]
    distance = _distance(u, v, drop)
    opacity = np.clip((1 + drop.soft / 2 - distance) / drop.soft, 0, 1)
    opacity = opacity * opacity * (3 - 2 * opacity)
    shade = 1 - drop.rim * np.clip(distance, 0, 1) ** 4
    seen = _seen(small, u, v, distance, drop, result.shape) * shade[..., None]
    patch = result[top:bottom, left:right]
    patch += (seen - patch) * opacity[..., None].astype(np.float32)


def _distance(u: np.ndarray, v: np.ndarray, drop: _Drop) -> np.ndarray:
    """Distance from the drop's centre, 1 at its edge, which is an ellipse with a few lobes."""
    angle = np.arctan2(v, u)
    edge = 1 + sum(
        size * np.cos((k + 2) * angle + p)
        for k, (size, p) in enumerate(zip(drop.lobes, drop.phases))
    )
    return np.hypot(u, v) / edge


def _seen(
    small: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    distance: np.ndarray,
    drop: _Drop,
    shape: tuple[int, ...],
) -> np.ndarray:
    """What the drop shows at each of its pixels: the scene about it, turned by 180 degrees, wider towards the rim."""
    wide = drop.view * (1 + 0.6 * np.clip(distance, 0, 1.5) ** 2)
    x = (drop.centre[0] - u * wide * shape[1]) / SHRINK
    y = (drop.centre[1] - v * wide * shape[0]) / SHRINK
    return cv2.remap(
        small,
        x.astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_LINEAR,
        None,
        cv2.BORDER_REFLECT_101,
    )


def _small(image: np.ndarray) -> np.ndarray:
    size = [max(1, round(length / SHRINK)) for length in image.shape[1::-1]]
    return cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (0, 0), 1.0)
