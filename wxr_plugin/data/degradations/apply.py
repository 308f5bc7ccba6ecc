"""DA-CLIP's ten degradations on clean photographs, seeded, with a continuous severity.

Each is a pure function of (image, severity, rng, styles) with float32 RGB (H, W, 3) in [0, 1] in
and out. The same state of `rng` draws the same shadow, path or mask, and only its strength follows
`severity`; at severity 0 nothing changes. Ranges are in `styles`. Where light adds up (blur,
shadow, exposure) it is linear: value^2.2.
"""

from collections.abc import Callable

import cv2
import numpy as np

from wxr_plugin.data.degradations.drops import raindrop
from wxr_plugin.data.degradations.light import low_light, shadowed
from wxr_plugin.data.degradations.masks import uncompleted
from wxr_plugin.data.degradations.motion import motion_blurry
from wxr_plugin.data.degradations.styles import OTHER_SEVERITIES, SEVERITIES, Range, Styles
from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.data.weather.synthesis import add_weather

Degradation = Callable[[np.ndarray, float, np.random.Generator, Styles], np.ndarray]
DEFAULT = Styles()


def degrade(
    image: np.ndarray,
    name: str,
    severity: float,
    rng: np.random.Generator,
    styles: Styles = DEFAULT,
) -> np.ndarray:
    """Return a copy of a clean photo with a degradation.

    Args:
        image: float32 RGB (H, W, 3) in [0, 1].
        name: one of DEGRADATIONS.
        severity: in [0, 1]; 0 changes nothing, 1 is the published setting of noise (sigma 50) and
            JPEG (quality 10).
        rng: generator of everything random.
        styles: ranges to draw from.

    Raises:
        TypeError, ValueError: an argument is anything else.
    """
    _check(image, name, severity)
    if severity == 0:
        return image.copy()
    return SYNTHESIS[name](np.ascontiguousarray(image), severity, rng, styles)


def severity_range(name: str) -> Range:
    """Return lowest and highest severity that training draws from by default."""
    return SEVERITIES.get(name, OTHER_SEVERITIES)


def noisy(
    image: np.ndarray,
    severity: float,
    rng: np.random.Generator,
    styles: Styles = DEFAULT,
) -> np.ndarray:
    """Add Gaussian noise n and truncate to 8 bits like the published pairs.

    The result is floor(255 clip(x + n)) / 255.
    """
    sigma = np.float32(severity * styles.noise.sigma / 255)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return truncated(image + sigma * noise)


def jpeg_compressed(
    image: np.ndarray,
    severity: float,
    rng: np.random.Generator,
    styles: Styles = DEFAULT,
) -> np.ndarray:
    """Compress as JPEG by libjpeg with OpenCV's defaults (chroma at half size); draws nothing."""
    # Quality falls linearly from 100 at severity 0 to that of the style at severity 1.
    quality = round(100 - severity * (100 - styles.jpeg.quality))
    return through_jpeg(image, quality)


def through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Encode and decode `image`, rounded to 8 bits, as a JPEG of `quality` in [1, 100]."""
    clipped = np.clip(image, 0, 1)
    rgb = np.uint8(clipped * 255 + 0.5)
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    flags = [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
    _, data = cv2.imencode(".jpg", bgr, flags)
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return rgb.astype(np.float32) / np.float32(255)


def truncated(image: np.ndarray) -> np.ndarray:
    """Truncate (not round) `image` to 8 bits, as the authors store their images."""
    clipped = np.clip(image, 0, 1)
    levels = np.floor(clipped * np.float32(255))
    return levels / np.float32(255)


def _weather(kind: str) -> Degradation:
    def draw(
        image: np.ndarray,
        severity: float,
        rng: np.random.Generator,
        styles: Styles = DEFAULT,
    ) -> np.ndarray:
        return add_weather(image, kind, severity, rng, styles.weather)

    return draw


SYNTHESIS: dict[str, Degradation] = {
    "motion-blurry": motion_blurry,
    "hazy": _weather("haze"),
    "jpeg-compressed": jpeg_compressed,
    "low-light": low_light,
    "noisy": noisy,
    "raindrop": raindrop,
    "rainy": _weather("rain"),
    "shadowed": shadowed,
    "snowy": _weather("snow"),
    "uncompleted": uncompleted,
}
"""Each of DEGRADATIONS -> the function that draws it."""


def _check(image: np.ndarray, name: str, severity: float) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.float32:
        given = getattr(image, "dtype", type(image).__name__)
        raise TypeError(
            f"degrade needs a float32 RGB array in [0, 1], not {given}; divide uint8 by 255 first"
        )
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"degrade needs an image of shape (H, W, 3), not {image.shape}")
    if name not in SYNTHESIS:
        raise ValueError(f"unknown degradation {name!r}: take one of {', '.join(DEGRADATIONS)}")
    if not 0.0 <= severity <= 1.0:
        raise ValueError(f"severity must lie in [0, 1], not {severity}")
