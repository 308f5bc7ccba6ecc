"""Noise and JPEG, which a camera adds to a weathered picture."""

import cv2
import numpy as np

from wxr_plugin.data.weather.styles import Camera

BLOCK = 16
"""Side in pixels of the blocks of a JPEG with chroma at half resolution."""


def photographed(
    image: np.ndarray,
    camera: Camera,
    severity: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Add noise and JPEG of `camera` to an image (H, W, 3) in [0, 1]; both grow with `severity`."""
    with_noise, with_jpeg = rng.random(2) < camera.share
    deviation = rng.uniform(*camera.noise) * severity
    loss = rng.uniform(*camera.loss) * severity
    corner = rng.integers(0, BLOCK, 2)
    if with_noise:
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        image = image + noise * np.float32(deviation)
    image = np.clip(image, 0.0, 1.0)
    # JPEG changes a picture even at quality 100, but severity 0 must change nothing.
    if not with_jpeg or severity == 0:
        return image
    quality = round(100 - loss)
    return jpeg(image, quality, corner)


def jpeg(image: np.ndarray, quality: int, corner: np.ndarray) -> np.ndarray:
    """Return the image (H, W, 3) in [0, 1] after JPEG at `quality`, its blocks shifted by `corner`.

    `corner` is (row, column). A crop's blocks start anywhere: a network that is trained on crops
    must not learn that they start at the corner.
    """
    row, column = (int(value) for value in corner)
    levels = (image * 255).round()
    rgb = levels.astype(np.uint8)
    rgb = cv2.copyMakeBorder(rgb, row, 0, column, 0, cv2.BORDER_REPLICATE)
    # OpenCV has BGR order.
    bgr = rgb[..., ::-1]
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, code = cv2.imencode(".jpg", bgr, flags)
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    inner = decoded[row:, column:, ::-1]
    return np.ascontiguousarray(inner, np.float32) / np.float32(255)
