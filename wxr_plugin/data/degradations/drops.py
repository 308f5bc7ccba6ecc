"""Drops of water on a pane in front of the lens."""

import math
from typing import NamedTuple

import cv2
import numpy as np

from wxr_plugin.data.degradations.styles import Raindrops, Styles
from wxr_plugin.data.weather.fields import size_unit

SHRINK = 4
"""Factor by which the picture is reduced before drops show it: they show the scene smaller."""


class _Drop(NamedTuple):
    """Place and optics of one drop."""

    centre: np.ndarray
    """(x, y) in pixels."""
    radii: np.ndarray
    """Half axes (x, y) of the ellipse in pixels."""
    lobes: np.ndarray
    """Amplitudes of the edge's deviations from the ellipse, relative to the radius."""
    phases: np.ndarray
    """Phases of these deviations, in radians."""
    view: float
    """Half the part of the picture that the drop shows, over the picture's side."""
    soft: float
    """Width of the blurred edge over the radius."""
    rim: float
    """Share of the light that is lost at the edge."""


def raindrop(
    image: np.ndarray,
    severity: float,
    rng: np.random.Generator,
    styles: Styles,
) -> np.ndarray:
    """Draw drops on the photo: (1 - M) J + M T.

    This is the model of Qian et al., "Attentive GAN for raindrop removal", CVPR 2018. In T each
    drop is a lens: it shows a wide part of the scene, upside down and mirrored, darker towards its
    rim and out of focus (our choice, instead of tracing rays). `severity` adds drops.
    """
    height, width = image.shape[:2]
    ranges = styles.raindrops
    result = image.copy()
    small = _small(image)
    cover = rng.uniform(*ranges.cover)
    # Area in pixels that is still to be covered.
    budget = cover * severity * height * width
    while budget > 0:
        drop = _draw((height, width), ranges, rng)
        area = math.pi * drop.radii.prod()
        budget -= area
        _put(result, small, drop)
    return np.clip(result, 0, 1, out=result)


def _draw(shape: tuple[int, int], ranges: Raindrops, rng: np.random.Generator) -> _Drop:
    # Between the two radii on a logarithmic scale, small ones more often.
    low, high = ranges.radius
    exponent = rng.random() ** 1.5
    radius = low * (high / low) ** exponent * size_unit(shape)
    stretch = rng.uniform(0.9, 1.5)
    radii = radius * np.array([1.0, stretch])
    lobes = rng.normal(0, 0.07, 3)
    height, width = shape
    # The arguments are drawn in this order.
    return _Drop(
        centre=rng.uniform((0, 0), (width, height)),
        radii=radii,
        lobes=lobes,
        phases=rng.uniform(0, 2 * math.pi, 3),
        view=rng.uniform(*ranges.view),
        soft=rng.uniform(*ranges.soft),
        rim=rng.uniform(*ranges.rim),
    )


def _put(result: np.ndarray, small: np.ndarray, drop: _Drop) -> None:
    """Draw one drop over `result` (H, W, 3), in place."""
    left, top, right, bottom = _window(drop, result.shape)
    columns = np.arange(left, right, dtype=np.float32)
    rows = np.arange(top, bottom, dtype=np.float32)
    x, y = np.meshgrid(columns, rows)
    # Coordinates relative to the ellipse, whose edge is u^2 + v^2 = 1.
    centre_x, centre_y = drop.centre
    radius_x, radius_y = drop.radii
    u = (x - centre_x) / radius_x
    v = (y - centre_y) / radius_y
    distance = _distance(u, v, drop)
    opacity = _opacity(distance, drop.soft)
    inside = np.clip(distance, 0, 1)
    shade = 1 - drop.rim * inside**4
    view = _view(small, u, v, distance, drop, result.shape)
    shaded_view = view * shade[..., None]
    patch = result[top:bottom, left:right]
    patch += (shaded_view - patch) * opacity[..., None]


def _window(drop: _Drop, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the part of the picture that the drop may cover."""
    height, width = shape[:2]
    # The lobes and the soft edge reach beyond the ellipse.
    reach = drop.radii * 1.6 + 2
    first = np.maximum(drop.centre - reach, 0)
    last = np.minimum(drop.centre + reach + 1, (width, height))
    left, top = first.astype(int)
    right, bottom = last.astype(int)
    return left, top, right, bottom


def _opacity(distance: np.ndarray, soft: float) -> np.ndarray:
    """Return M of `raindrop`, (h, w) float32: 1 inside the soft edge of the drop, 0 outside it."""
    outer_side = 1 + soft / 2
    ramp = np.clip((outer_side - distance) / soft, 0, 1)
    smoothstep = ramp * ramp * (3 - 2 * ramp)
    return smoothstep.astype(np.float32)


def _distance(u: np.ndarray, v: np.ndarray, drop: _Drop) -> np.ndarray:
    """Return the distance from the drop's centre, 1 at its edge: an ellipse with a few lobes."""
    angle = np.arctan2(v, u)
    waves = []
    # Two waves around the ellipse, then three, then four.
    for count, (lobe, phase) in enumerate(zip(drop.lobes, drop.phases), 2):
        wave = np.cos(count * angle + phase)
        waves.append(lobe * wave)
    edge = 1 + sum(waves)
    return np.hypot(u, v) / edge


def _view(
    small: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    distance: np.ndarray,
    drop: _Drop,
    shape: tuple[int, ...],
) -> np.ndarray:
    """Return the colour at each pixel of the drop, (h, w, 3).

    It is that of the scene around the drop, turned by 180 degrees, and wider towards the rim.
    """
    height, width = shape[:2]
    centre_x, centre_y = drop.centre
    from_centre = np.clip(distance, 0, 1.5)
    wide = drop.view * (1 + 0.6 * from_centre**2)
    x = (centre_x - u * wide * width) / SHRINK
    y = (centre_y - v * wide * height) / SHRINK
    return cv2.remap(
        small,
        x.astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def _small(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    small_width = max(1, round(width / SHRINK))
    small_height = max(1, round(height / SHRINK))
    reduced = cv2.resize(image, (small_width, small_height), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(reduced, (0, 0), 1.0)
