"""Parts of a picture without content, for inpainting."""

import cv2
import numpy as np

from wxr_plugin.data.degradations.styles import Missing, Styles

MOST_SHAPES = 200
"""Number of shapes after which drawing stops, even if they overlap too much to cover enough."""


def uncompleted(
    image: np.ndarray,
    severity: float,
    rng: np.random.Generator,
    styles: Styles,
) -> np.ndarray:
    """Fill boxes and brush strokes with one grey level: (1 - M) J + M fill, M of zeros and ones.

    Free-form strokes are those of Yu et al., "Free-form image inpainting with gated convolution",
    ICCV 2019, drawn in our own way. The masks and the fill of the published pairs are not stated;
    ours are black or white.
    """
    mask = missing_mask(image.shape[:2], severity, styles.missing, rng)
    result = image.copy()
    result[mask] = rng.choice(styles.missing.fill)
    return result


def missing_mask(
    shape: tuple[int, int],
    severity: float,
    ranges: Missing,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the mask of the missing part of a picture: (H, W) bool.

    Boxes, strokes or both are drawn until they cover severity * cover of it.
    """
    height, width = shape
    # Area in pixels that is to be covered.
    area = rng.uniform(*ranges.cover) * severity * height * width
    share_of_boxes = rng.choice((0.0, 0.5, 1.0))
    mask = np.zeros(shape, np.uint8)
    for _ in range(MOST_SHAPES):
        if rng.random() < share_of_boxes:
            _box(mask, ranges, rng)
        else:
            _stroke(mask, ranges, rng)
        if mask.sum() >= area:
            break
    return mask.astype(bool)


def _box(mask: np.ndarray, ranges: Missing, rng: np.random.Generator) -> None:
    height, width = mask.shape
    sides = rng.uniform(*ranges.box, 2) * min(mask.shape)
    rows, columns = np.maximum(1, sides).astype(int)
    # Numbers of places where the box fits.
    places_down = max(1, height - rows + 1)
    places_across = max(1, width - columns + 1)
    top = int(rng.integers(places_down))
    left = int(rng.integers(places_across))
    mask[top : top + rows, left : left + columns] = 1


def _stroke(mask: np.ndarray, ranges: Missing, rng: np.random.Generator) -> None:
    """Draw a brush stroke over a few corners that turns a little at each."""
    side = min(mask.shape)
    count = int(rng.integers(4, 9))
    radius = side * rng.uniform(*ranges.brush)
    width = max(1, round(2 * radius))
    # The direction is a random walk.
    first_angle = rng.uniform(0, 2 * np.pi)
    turns = rng.normal(0, 0.7, count)
    angles = first_angle + np.cumsum(turns)
    directions = np.stack([np.cos(angles), np.sin(angles)], 1)
    lengths = rng.uniform(0.05, 0.2, count) * side
    steps = lengths[:, None] * directions
    start = rng.uniform((0, 0), mask.shape[::-1])
    path = start + np.cumsum(steps, 0)
    corners = np.round(path).astype(np.int32)
    cv2.polylines(mask, [corners], False, 1, width)
    for corner in corners:  # round joints
        cv2.circle(mask, corner.tolist(), width // 2, 1, -1)
