"""Settings of the synthetic degradations: the ranges that a picture's degradation is drawn from.

Noise and JPEG are the published benchmark's (sigma 50, quality 10, truncation to 8 bits). The other
ranges are our choice, set by eye next to pictures like those of the published sets. Pixel sizes
hold for images up to 400 x 400 pixels (by area) and grow with larger ones. All values hold at
severity 1.
"""

import msgspec

Range = tuple[float, float]


class Noise(msgspec.Struct, frozen=True):
    """noisy: Gaussian noise, independent in every pixel and channel."""

    sigma: float = 50.0
    """Standard deviation in 8-bit levels."""


class Jpeg(msgspec.Struct, frozen=True):
    """jpeg-compressed: JPEG at a low quality."""

    quality: int = 10
    """Quality of libjpeg in [1, 100]; it rises to 100 at severity 0."""


class LowLight(msgspec.Struct, frozen=True):
    """low-light: a short exposure, with the noise of few photons and of the sensor, in 8 bits."""

    stops: Range = (3.0, 5.5)
    """Missing exposure, in halvings of the light."""
    cast: Range = (0.0, 0.12)
    """Deviation of the gains of red and blue, up or down."""
    electrons: Range = (600.0, 3000.0)
    """Number of photons that a pixel of light 1 collects; fewer give more shot noise."""
    read: Range = (0.0004, 0.0016)
    """Standard deviation of the sensor's noise; white is 1."""


class Motion(msgspec.Struct, frozen=True):
    """motion-blurry: the camera moves along a random path during the exposure."""

    length: Range = (10.0, 30.0)
    """Length of the path in pixels."""
    wobble: Range = (0.01, 0.10)
    """Standard deviation of the turn between two of the path's 256 steps, in radians."""
    jerk: float = 0.01
    """Probability of a sudden turn in a step."""


class Shadow(msgspec.Struct, frozen=True):
    """shadowed: an object outside the picture keeps the direct light from a part of it."""

    shapes: tuple[int, int] = (1, 3)
    """Number of polygons."""
    size: Range = (0.2, 0.55)
    """Radius of a polygon over the shorter side of the picture."""
    light: Range = (0.12, 0.4)
    """Share of the (linear) light that reaches the shadow."""
    blue: Range = (0.0, 0.2)
    """Excess of blue in the light of the sky over that of the sun."""
    penumbra: tuple[float, float] = (1.0, 9.0)
    """Width of the sharpest and of the softest edge, in pixels; it varies over the picture."""


class Raindrops(msgspec.Struct, frozen=True):
    """raindrop: drops on a pane in front of the lens, each a small upside-down picture."""

    cover: Range = (0.06, 0.22)
    """Sum of the drops' areas over the picture's area."""
    radius: Range = (4.0, 22.0)
    """Radius of a drop in pixels; small ones are more frequent."""
    view: Range = (0.15, 0.4)
    """Half the part of the picture that a drop shows, over the picture's side."""
    soft: Range = (0.12, 0.45)
    """Width of the blurred edge over the drop's radius: drops are out of focus."""
    rim: Range = (0.1, 0.45)
    """Share of the light that is lost at the edge of a drop."""


class Missing(msgspec.Struct, frozen=True):
    """uncompleted: boxes and brush strokes without content."""

    cover: Range = (0.12, 0.4)
    """Least share of the picture that is missing; the last shape may exceed it."""
    box: Range = (0.1, 0.4)
    """Side of a box over the shorter side of the picture."""
    brush: Range = (0.02, 0.07)
    """Radius of a brush over the shorter side of the picture."""
    fill: tuple[float, ...] = (0.0, 1.0)
    """Grey levels in [0, 1] of the missing part, equally likely."""


class Styles(msgspec.Struct, frozen=True):
    """Settings of all degradations; those of weather are in `data.weather.styles`."""

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
"""Default severities to draw from; degradations that are not listed use `OTHER_SEVERITIES`."""

OTHER_SEVERITIES: Range = (0.4, 1.0)
