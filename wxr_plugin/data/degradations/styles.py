"""The settings of the synthetic degradations: from which ranges each picture's degradation is drawn.

Noise and JPEG are the published benchmark's (sigma 50, quality 10, truncation to 8 bits). The other
ranges are our choice, set by eye beside pictures of the published sets' kind. Pixel sizes hold for
images up to 400 x 400 pixels (by area) and grow with larger ones. Every value is that at severity
1.
"""

import msgspec

Range = tuple[float, float]


class Noise(msgspec.Struct, frozen=True):
    """noisy: Gaussian noise, independent in every pixel and channel."""

    sigma: float = 50.0
    """Standard deviation in 8-bit levels."""


class Jpeg(msgspec.Struct, frozen=True):
    """jpeg-compressed."""

    quality: int = 10
    """Quality in [1, 100] of libjpeg; it rises to 100 at severity 0."""


class LowLight(msgspec.Struct, frozen=True):
    """low-light: a short exposure, with the noise of few photons and of the sensor, in 8 bits."""

    stops: Range = (3.0, 5.5)
    """Exposure that is missing, in halvings of the light."""
    cast: Range = (0.0, 0.12)
    """How far the gains of red and blue are off, either way."""
    electrons: Range = (600.0, 3000.0)
    """Photons that a white pixel of the dark picture's own scale collects; fewer give more shot noise."""
    read: Range = (0.0004, 0.0016)
    """Standard deviation of the sensor's noise, white being 1."""


class Motion(msgspec.Struct, frozen=True):
    """motion-blurry: the camera moves along a random path during the exposure."""

    length: Range = (10.0, 30.0)
    """Length of the path in pixels."""
    wobble: Range = (0.01, 0.10)
    """Standard deviation of the turn between two of the path's 256 steps, in radians."""
    jerk: float = 0.01
    """Probability of a sudden turn in a step."""


class Shadow(msgspec.Struct, frozen=True):
    """shadowed: something out of the picture keeps the direct light from a part of it."""

    shapes: tuple[int, int] = (1, 3)
    """Polygons."""
    size: Range = (0.2, 0.55)
    """Radius of a polygon over the shorter side of the picture."""
    light: Range = (0.12, 0.4)
    """Share of the (linear) light that reaches the shadow."""
    blue: Range = (0.0, 0.2)
    """How much bluer the light of the sky is than that of the sun."""
    penumbra: tuple[float, float] = (1.0, 9.0)
    """Width of the softest and of the sharpest edge, in pixels; the width varies over the picture."""


class Raindrops(msgspec.Struct, frozen=True):
    """raindrop: drops on a pane before the lens, each a small picture of the scene upside down."""

    cover: Range = (0.06, 0.22)
    """Sum of the drops' areas over the picture's area."""
    radius: Range = (4.0, 22.0)
    """Radius of a drop in pixels; small ones are more frequent."""
    view: Range = (0.15, 0.4)
    """Half the part of the picture that a drop shows, over the picture's side."""
    soft: Range = (0.12, 0.45)
    """Width of the blurred edge over the drop's radius: drops are out of focus."""
    rim: Range = (0.1, 0.45)
    """How much darker the edge of a drop is."""


class Missing(msgspec.Struct, frozen=True):
    """uncompleted: boxes and brush strokes without content."""

    cover: Range = (0.12, 0.4)
    """Part of the picture that is missing, at least (the last shape may go beyond)."""
    box: Range = (0.1, 0.4)
    """Side of a box over the shorter side of the picture."""
    brush: Range = (0.02, 0.07)
    """Radius of a brush over the shorter side of the picture."""
    fill: tuple[float, ...] = (0.0, 1.0)
    """Grey levels in [0, 1] that stand for nothing, taken equally often."""


class Styles(msgspec.Struct, frozen=True):
    """The settings of all degradations that are not weather (those are in `weather_styles`)."""

    noise: Noise = Noise()
    jpeg: Jpeg = Jpeg()
    low_light: LowLight = LowLight()
    motion: Motion = Motion()
    shadow: Shadow = Shadow()
    raindrops: Raindrops = Raindrops()
    missing: Missing = Missing()
    weather: str = "default"
    """Style of rain, haze and snow."""


SEVERITIES: dict[str, Range] = {
    "noisy": (1.0, 1.0),
    "jpeg-compressed": (1.0, 1.0),
    "hazy": (0.3, 0.8),
}
"""Severities to draw from where an option file does not say; those that are not here: `OTHER_SEVERITIES`."""

OTHER_SEVERITIES: Range = (0.4, 1.0)
