"""Synthetic rain, haze and snow on clean photographs, seeded, with a continuous severity.

One image model serves the three kinds:

    I = (1 - m) (J t + A (1 - t)) + m C,    t = exp(-beta d)

J is the scene under a clouded sky, t the transmission at depth d and A the airlight: the
atmospheric scattering model (Koschmieder 1924; Narasimhan and Nayar, "Vision and the atmosphere",
IJCV 2002). For rain, t is the veil of far drops and m the mask of near streaks, as in the heavy
rain model of Li, Cheong and Tan (CVPR 2019), except that the near streaks lie in front of the veil
(our choice). For snow, m holds the flakes and C their colour, as in DesnowNet (Liu et al., IEEE TIP
2018), plus the veil.

Modules of this folder, in the order in which a picture passes them:

- `styles`: `Style`, the ranges that a picture's weather is drawn from, with a comment on each
  range; the table `STYLES` with the styles default and shifted; `add_style`.
- `realistic`, `published`, `dusk`: more styles, as in photographs, as in the sets of papers, and in
  weak or coloured light.
- `fields`, `depth`: maps of depth, of smooth noise and of particles.
- `synthesis`: `add_weather`, which blends them by the model above.
- `camera`: noise and JPEG after the weather, for styles with a `Camera`.

To add a style, give `styles.add_style` a name and a `Style`, or a tuple of variants, for each of
rain, haze and snow, in a module that the option file lists under `plugins`:

    from wxr_plugin.data.weather.styles import Layer, Style, add_style

    add_style("drizzle", {"rain": Style(...), "haze": Style(...), "snow": Style(...)})

Then `synthetic: {style: drizzle}` in a dataset's options, or `add_weather(..., style="drizzle")`,
draws it. A style that ships with the package is a module like `realistic`, which this module
imports. Changing a range or the order of draws changes the pictures of every seed.
"""

import cv2
import numpy as np

from wxr_plugin.data.weather import (
    dusk,  # noqa: F401  adds its style
    fields,
    published,  # noqa: F401  adds its style
    realistic,  # noqa: F401  adds its style
)
from wxr_plugin.data.weather.camera import photographed
from wxr_plugin.data.weather.depth import guess_edges
from wxr_plugin.data.weather.kinds import KINDS, WEATHERS  # noqa: F401  both for importers
from wxr_plugin.data.weather.styles import STYLES as _STYLES
from wxr_plugin.data.weather.styles import Range, Style, Variants

STYLES = tuple(_STYLES)
"""Names of the packaged styles; `styles.add_style` adds others."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a pixel (ITU-R BT.601)."""


def add_weather(
    image: np.ndarray,
    kind: str,
    severity: float,
    rng: np.random.Generator,
    style: str = "default",
    depth: np.ndarray | None = None,
) -> np.ndarray:
    """Return a copy of a clean photo with weather on it.

    The same state of `rng` draws the same weather, and only its strength follows `severity`.

    Args:
        image: float32 RGB (H, W, 3) in [0, 1].
        kind: one of WEATHERS; "clear" gives a plain copy.
        severity: in [0, 1]; 0 changes nothing, 1 is extreme.
        rng: generator of everything random.
        style: one of STYLES or an added one. "realistic" is closest to photographs,
            "published" to the synthetic sets of papers; "dusk" has weak or coloured light;
            "shifted" differs from "default" in direction, size, colour and unevenness, and is
            harder.
        depth: map (H, W) of non-negative distances in any unit, larger being farther; guessed if
            None.

    Returns:
        float32 RGB (H, W, 3) in [0, 1].

    Raises:
        TypeError, ValueError: an argument is anything else.
    """
    _check(image, kind, severity, style, depth)
    if kind == "clear":
        return image.copy()
    ranges = _variant(_STYLES[style][kind], rng)
    image = np.ascontiguousarray(image)
    if depth is not None:
        far = _normalised(depth)
    elif ranges.depth == "edges":
        far = guess_edges(image, rng)
    else:
        far = fields.guess_depth(image, rng)
    clouded = _clouded(image, ranges, severity, rng)
    # (3, H, W): blending one plane a channel is three times as fast as (H, W, 3).
    planes = np.stack(cv2.split(clouded))
    _veil(planes, far, ranges, severity, rng)
    _particles(planes, ranges, severity, rng)
    np.clip(planes, 0.0, 1.0, out=planes)
    weathered = cv2.merge(list(planes))
    if ranges.camera is None:
        return weathered
    return photographed(weathered, ranges.camera, severity, rng)


def _variant(style: Style | Variants, rng: np.random.Generator) -> Style:
    """Return the Style itself, or one of several by their shares."""
    if isinstance(style, Style):
        return style
    shares = [variant.share for variant in style]
    bounds = np.cumsum(shares)
    place = rng.random() * bounds[-1]
    number = np.searchsorted(bounds, place, side="right")
    return style[int(number)]


def _clouded(
    image: np.ndarray,
    ranges: Style,
    severity: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return J, the scene under a clouded sky: darker and less colourful, (H, W, 3)."""
    dim = rng.uniform(*ranges.dim) * severity
    grey = rng.uniform(*ranges.grey) * severity
    # Every output channel is a mix of the colour and the brightness of the pixel.
    brightness = np.tile(LUMA, (3, 1))
    mix = (1 - grey) * np.eye(3) + grey * brightness
    return cv2.transform(image, (1 - dim) * mix)


def _veil(
    scene: np.ndarray,
    far: np.ndarray,
    ranges: Style,
    severity: float,
    rng: np.random.Generator,
) -> None:
    """Draw the veil J t + A (1 - t) over `scene` (3, H, W), in place.

    t = exp(-beta d) is made uneven by smooth noise, and spray over the ground adds to beta d. `far`
    is the depth (H, W) in [0, 1].
    """
    extinction = rng.uniform(*ranges.extinction)
    near = rng.uniform(*ranges.near)
    patchy = np.float32(rng.uniform(*ranges.patchy))
    noise = fields.smooth_noise(far.shape, 5, rng)
    uneven = 1.0 + patchy * (2.0 * noise - 1.0)
    # beta d, which is extinction at the farthest point and near * extinction at the nearest.
    at_nearest = np.float32(extinction * near)
    growth = np.float32(extinction * (1.0 - near))
    depth = at_nearest + growth * far
    mist = rng.uniform(*ranges.mist)
    if rng.random() >= 0.5:
        mist = 0.0
    depth += np.float32(mist) * fields.ground_ramp(far.shape, rng)
    exponent = np.float32(-severity) * depth * uneven
    transmission = np.exp(exponent)
    airlight = _light(ranges.airlight, ranges.warmth, rng)
    _blend(scene, airlight, 1.0 - transmission)


def _particles(scene: np.ndarray, ranges: Style, severity: float, rng: np.random.Generator) -> None:
    """Draw the layers of particles over `scene` (3, H, W), in place: I (1 - m) + C m."""
    if not ranges.layers:
        return
    shape = scene.shape[1:]
    angle = rng.uniform(*ranges.angle)
    side = rng.choice((-1.0, 1.0))
    # A point is clear if no layer covers it: 1 - m is the product of 1 - m of all layers.
    clear = np.ones(shape, np.float32)
    for layer in ranges.layers:
        direction = angle * side + rng.normal(0, layer.turn)
        opacity = fields.particle_layer(shape, layer, direction, severity, rng)
        clear *= 1.0 - opacity
    patchy = np.float32(rng.uniform(*ranges.patchy))
    noise = fields.smooth_noise(shape, 4, rng)
    uneven = 1.0 - patchy * noise
    light = _light(ranges.particle_light, ranges.particle_warmth, rng)
    mask = (1.0 - clear) * uneven
    if ranges.additive and rng.random() < ranges.additive:
        scene += light[:, None, None] * mask
    else:
        _blend(scene, light, mask)


def _blend(scene: np.ndarray, light: np.ndarray, mask: np.ndarray) -> None:
    """Blend the colour `light` (3,) into `scene` (3, H, W) with opacity `mask` (H, W), in place."""
    for plane, level in zip(scene, light):
        plane += (level - plane) * mask


def _light(brightness: Range, warmth: Range, rng: np.random.Generator) -> np.ndarray:
    """Return a random colour (3,) float32 in [0, 1]."""
    level = rng.uniform(*brightness)
    warm = rng.uniform(*warmth)
    red = level + warm / 2
    green = level + rng.normal(0, 0.01)
    blue = level - warm / 2
    colour = np.clip([red, green, blue], 0, 1)
    return colour.astype(np.float32)


def _normalised(depth: np.ndarray) -> np.ndarray:
    farthest = float(depth.max())
    if farthest > 0:
        depth = depth / farthest
    return depth.astype(np.float32)


def _check(
    image: np.ndarray,
    kind: str,
    severity: float,
    style: str,
    depth: np.ndarray | None,
) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.float32:
        given = getattr(image, "dtype", type(image).__name__)
        raise TypeError(
            f"add_weather needs a float32 RGB array in [0, 1], not {given}; divide uint8 by 255 "
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
    if depth is not None and not _is_depth(depth, image.shape[:2]):
        raise ValueError(
            f"depth must hold finite, non-negative values of shape {image.shape[:2]}, not "
            f"{depth.shape}"
        )


def _is_depth(depth: np.ndarray, shape: tuple[int, ...]) -> bool:
    if depth.shape != shape or not np.isfinite(depth).all():
        return False
    return depth.min() >= 0
