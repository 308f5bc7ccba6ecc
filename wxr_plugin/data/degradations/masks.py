"""Parts of a picture without content, to be painted in."""

import cv2
import numpy as np

from wxr_plugin.data.degradations.styles import Missing, Styles

MOST_SHAPES = 200


def uncompleted(
    image: np.ndarray, severity: float, rng: np.random.Generator, styles: Styles
) -> np.ndarray:
    """The photo with boxes and brush strokes in one grey level: (1 - M) J + M fill, M of zeros and ones.

    Free-form strokes as in Yu et al., "Free-form image inpainting with gated convolution", ICCV
    2019, in our own way. The masks and the fill of the published pairs are not stated; ours are
    black or white.
    """
    mask = missing_mask(image.shape[:2], severity, styles.missing, rng)
    result = image.copy()
    result[mask] = rng.choice(styles.missing.fill)
    return result


def missing_mask(
    shape: tuple[int, int], severity: float, ranges: Missing, rng: np.random.Generator
) -> np.ndarray:
    """Where the picture is missing: (H, W) bool.

    Boxes, strokes or both, until they cover severity * cover of it.
    """
    wanted = rng.uniform(*ranges.cover) * severity * shape[0] * shape[1]
    boxes = rng.choice((0.0, 0.5, 1.0))
    mask = np.zeros(shape, np.uint8)
    for _ in range(MOST_SHAPES):
        (_box if rng.random() < boxes else _stroke)(mask, ranges, rng)
        if mask.sum() >= wanted:
            break
    return mask.astype(bool)


def _box(mask: np.ndarray, ranges: Missing, rng: np.random.Generator) -> None:
    sides = np.maximum(1, rng.uniform(*ranges.box, 2) * min(mask.shape)).astype(int)
    top, left = (
        int(rng.integers(max(1, length - side + 1))) for length, side in zip(mask.shape, sides)
    )
    mask[top : top + sides[0], left : left + sides[1]] = 1


def _stroke(mask: np.ndarray, ranges: Missing, rng: np.random.Generator) -> None:
    """A brush led over a few corners, turning a little at each."""
    side = min(mask.shape)
    count, width = int(rng.integers(4, 9)), max(1, round(2 * side * rng.uniform(*ranges.brush)))
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.7, count))
    steps = (
        rng.uniform(0.05, 0.2, count)[:, None]
        * side
        * np.stack([np.cos(angles), np.sin(angles)], 1)
    )
    corners = np.round(rng.uniform((0, 0), mask.shape[::-1]) + np.cumsum(steps, 0)).astype(np.int32)
    cv2.polylines(mask, [corners], False, 1, width)
    for corner in corners:  # round joints
        cv2.circle(mask, corner.tolist(), width // 2, 1, -1)
