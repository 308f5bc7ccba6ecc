"""Synthetic rain, haze and snow on clean photographs, seeded, with a continuous severity.

One image model serves the three kinds:

    I = (1 - m) (J t + A (1 - t)) + m C,    t = exp(-beta d)

J is the scene under a clouded sky, t the transmission at depth d and A the airlight: the
atmospheric scattering model (Koschmieder 1924; Narasimhan and Nayar, "Vision and the atmosphere",
IJCV 2002). For rain, t is the veil of far drops and m the mask of near streaks, as in the heavy
rain model of Li, Cheong and Tan (CVPR 2019), save that the near streaks lie before the veil (our
choice). For snow, m holds the flakes and C their colour, as in DesnowNet (Liu et al., IEEE TIP
2018), plus the veil. The ranges stand in `weather_styles.py`.
"""

import cv2
import numpy as np

from wxr_plugin.data.weather import (
    fields,
    realistic,  # noqa: F401  adds its style
)
from wxr_plugin.data.weather.camera import photographed
from wxr_plugin.data.weather.depth import guess_edges
from wxr_plugin.data.weather.styles import STYLES as _STYLES
from wxr_plugin.data.weather.styles import Style, Variants

KINDS = ("rain", "haze", "snow")
WEATHERS = ("clear", *KINDS)
STYLES = tuple(_STYLES)
"""The packaged styles; `weather_styles.add_style` adds others."""
LUMA = (0.299, 0.587, 0.114)


def add_weather(
    image: np.ndarray,
    kind: str,
    severity: float,
    rng: np.random.Generator,
    style: str = "default",
    depth: np.ndarray | None = None,
) -> np.ndarray:
    """Return a copy of a clean photo with weather on it.

    `image` is float32 RGB (H, W, 3) in [0, 1], and so is the result. `kind` is one of WEATHERS
    ("clear" gives a plain copy), `severity` in [0, 1]: 0 changes nothing, 1 is extreme. The same
    state of `rng` draws the same weather, and only its strength follows `severity`. `style` is one
    of STYLES or an added one: "realistic" is closest to photographs; "shifted" differs from
    "default" in direction, size, colour and unevenness, and is harder. `depth` is a map (H, W) of
    non-negative distances in any unit, larger being farther; without one it is guessed. Raises
    TypeError or ValueError on anything else.
    """
    _check(image, kind, severity, style, depth)
    if kind == "clear":
        return image.copy()
    ranges, image = _variant(_STYLES[style][kind], rng), np.ascontiguousarray(image)
    guess = guess_edges if ranges.depth == "edges" else fields.guess_depth
    far = guess(image, rng) if depth is None else _normalised(depth)
    planes = np.stack(
        cv2.split(_clouded(image, ranges, severity, rng))
    )  # one plane a channel: three times as fast
    _veil(planes, far, ranges, severity, rng)
    _particles(planes, ranges, severity, rng)
    weathered = cv2.merge(list(np.clip(planes, 0.0, 1.0, out=planes)))
    return photographed(weathered, ranges.camera, severity, rng) if ranges.camera else weathered


def _variant(style: Style | Variants, rng: np.random.Generator) -> Style:
    """Return the Style itself, or one of several by their shares."""
    if isinstance(style, Style):
        return style
    shares = np.cumsum([variant.share for variant in style])
    return style[int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))]


def _clouded(
    image: np.ndarray, ranges: Style, severity: float, rng: np.random.Generator
) -> np.ndarray:
    """The scene under a clouded sky: darker and less colourful."""
    dim, grey = rng.uniform(*ranges.dim) * severity, rng.uniform(*ranges.grey) * severity
    return cv2.transform(image, (1 - dim) * ((1 - grey) * np.eye(3) + grey * np.tile(LUMA, (3, 1))))


def _veil(
    scene: np.ndarray, far: np.ndarray, ranges: Style, severity: float, rng: np.random.Generator
) -> None:
    """The scattering model I = J t + A (1 - t), t = exp(-beta d) made uneven, and spray over the ground; in place."""
    extinction, near = rng.uniform(*ranges.extinction), rng.uniform(*ranges.near)
    uneven = 1.0 + np.float32(rng.uniform(*ranges.patchy)) * (
        2.0 * fields.smooth_noise(far.shape, 5, rng) - 1.0
    )
    depth = np.float32(extinction * near) + np.float32(extinction * (1.0 - near)) * far
    mist = rng.uniform(*ranges.mist) * (rng.random() < 0.5)
    depth += np.float32(mist) * fields.ground_ramp(far.shape, rng)
    transmission = np.exp(np.float32(-severity) * depth * uneven)
    _blend(scene, _light(ranges.airlight, ranges.warmth, rng), 1.0 - transmission)


def _particles(scene: np.ndarray, ranges: Style, severity: float, rng: np.random.Generator) -> None:
    """Draw the layers of particles over the scene, in place: I (1 - m) + C m."""
    if not ranges.layers:
        return
    shape = scene.shape[1:]
    angle = rng.uniform(*ranges.angle) * rng.choice((-1.0, 1.0))
    clear = np.ones(shape, np.float32)
    for layer in ranges.layers:
        clear *= 1.0 - fields.particle_layer(
            shape, layer, angle + rng.normal(0, layer.turn), severity, rng
        )
    uneven = 1.0 - np.float32(rng.uniform(*ranges.patchy)) * fields.smooth_noise(shape, 4, rng)
    light, mask = _light(ranges.particle_light, ranges.particle_warmth, rng), (1.0 - clear) * uneven
    if ranges.additive and rng.random() < ranges.additive:
        scene += light[:, None, None] * mask
    else:
        _blend(scene, light, mask)


def _blend(scene: np.ndarray, light: np.ndarray, mask: np.ndarray) -> None:
    """Put the colour `light` (3,) over the planes (3, H, W) with opacity `mask` (H, W), in place."""
    for plane, level in zip(scene, light):
        plane += (level - plane) * mask


def _light(
    brightness: tuple[float, float], warmth: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    level, warm = rng.uniform(*brightness), rng.uniform(*warmth)
    return np.clip([level + warm / 2, level + rng.normal(0, 0.01), level - warm / 2], 0, 1).astype(
        np.float32
    )


def _normalised(depth: np.ndarray) -> np.ndarray:
    farthest = float(depth.max())
    return (depth / farthest if farthest > 0 else depth).astype(np.float32)


def _check(
    image: np.ndarray, kind: str, severity: float, style: str, depth: np.ndarray | None
) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.float32:
        found = getattr(image, "dtype", type(image).__name__)
        raise TypeError(
            f"add_weather needs a float32 RGB array in [0, 1], not {found}; divide uint8 by 255 "
            f"first"
        )
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"add_weather needs an image of shape (H, W, 3), not {image.shape}")
    if kind not in WEATHERS:
        raise ValueError(f"unknown weather {kind!r}: take one of {', '.join(WEATHERS)}")
    if style not in _STYLES:
        raise ValueError(f"unknown style {style!r}: take one of {', '.join(_STYLES)}")
    if not 0.0 <= severity <= 1.0:
        raise ValueError(f"severity must lie in [0, 1], not {severity}")
    if depth is not None and (
        depth.shape != image.shape[:2] or not np.isfinite(depth).all() or depth.min() < 0
    ):
        raise ValueError(
            f"depth must hold finite, non-negative values of shape {image.shape[:2]}, not "
            f"{depth.shape}"
        )
