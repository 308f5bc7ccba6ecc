"""What a camera adds to a weathered picture: noise and JPEG."""

import cv2
import numpy as np

from wxr_plugin.data.weather.styles import Camera

BLOCK = 16
"""Side in pixels of the blocks of a JPEG whose colours have half the resolution."""


def photographed(
    image: np.ndarray, camera: Camera, severity: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the image (H, W, 3) in [0, 1] with the noise and JPEG of `camera`; both grow with `severity`."""
    with_noise, with_jpeg = rng.random(2) < camera.share
    deviation, loss = rng.uniform(*camera.noise) * severity, rng.uniform(*camera.loss) * severity
    corner = rng.integers(0, BLOCK, 2)
    if with_noise:
        image = image + rng.standard_normal(image.shape, dtype=np.float32) * np.float32(deviation)
    image = np.clip(image, 0.0, 1.0)
    return jpeg(image, round(100 - loss), corner) if with_jpeg and severity > 0 else image


def jpeg(image: np.ndarray, quality: int, corner: np.ndarray) -> np.ndarray:
    """Return the image (H, W, 3) in [0, 1] after JPEG at `quality`, its blocks shifted by `corner` = (row, column).

    A crop's blocks start anywhere: what sees crops must not learn that they start at the corner.
    """
    row, column = (int(value) for value in corner)
    pixels = cv2.copyMakeBorder(
        (image * 255).round().astype(np.uint8), row, 0, column, 0, cv2.BORDER_REPLICATE
    )
    _, code = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)[row:, column:, ::-1]
    return np.ascontiguousarray(decoded, np.float32) / np.float32(255)
