"""Styles of the synthetic weather: the ranges that each picture's weather is drawn from.

The ranges are our choice, set by eye with real photographs next to the drawn ones. Pixel sizes hold
for images up to 400 x 400 pixels (by area) and grow with larger ones.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

Range = tuple[float, float]


class Layer(msgspec.Struct, frozen=True):
    """Particles at one distance from the camera."""

    width: Range
    """Thickness of a particle in pixels."""
    length: Range
    """Length along the direction of fall, in thicknesses; 1 is round."""
    cover: Range
    """Sum of the particles' areas over the image's area, at severity 1."""
    opacity: Range
    """Share of the scene's light behind a particle that it hides, in [0, 1], at severity 1."""
    shape: Literal["streak", "flake", "noise"] = "streak"
    """Shape of the particles: a streak is a tapered line, a flake a defocused, smeared disc.

    All streaks of a layer have one length. `noise` is a field of motion-blurred white noise, of
    which the part above a threshold shows; `cover` is the share of the noise above it.
    """
    blur: Range = (0.0, 0.0)
    """Defocus: sigma of a Gaussian in pixels (streaks), or in radii of the particle (flakes)."""
    turn: float = 3.0
    """Standard deviation of the layer's direction of fall from the picture's, in degrees."""


class Camera(msgspec.Struct, frozen=True):
    """Noise and JPEG after the weather, at severity 1."""

    share: float
    """Probability of noise, and of JPEG, independently."""
    noise: Range
    """Standard deviation of Gaussian noise, in [0, 1]."""
    loss: Range
    """100 minus the quality of the JPEG."""


class Style(msgspec.Struct, frozen=True):
    """One kind of weather in one style; every range is (lowest, highest)."""

    extinction: Range
    """Factor beta of the scattering model times the depth of the farthest point, at severity 1."""
    near: Range
    """Depth of the nearest point in [0, 1], the farthest being 1; high values give even veils."""
    airlight: Range
    """Brightness of the scattered light in [0, 1]."""
    warmth: Range
    """Colour of the scattered light: red minus blue."""
    patchy: Range
    """Unevenness of the veil and of the particles, in [0, 1]."""
    dim: Range
    """Share of the scene's light that clouds absorb, in [0, 1]."""
    grey: Range
    """Share of the scene's saturation that is lost, in [0, 1]."""
    mist: Range = (0.0, 0.0)
    """Extinction of spray over the ground (the picture's lower part) at severity 1.

    Half of the pictures have it.
    """
    angle: Range = (0.0, 0.0)
    """Direction of fall in degrees from straight down, on either side."""
    particle_light: Range = (0.0, 0.0)
    """Brightness of the particles in [0, 1]."""
    layers: tuple[Layer, ...] = ()
    """Particles from far to near."""
    particle_warmth: Range = (-0.03, 0.0)
    """Colour of the particles: red minus blue."""
    depth: Literal["ramp", "edges"] = "ramp"
    """Guess of the depth if none is given: fields.guess_depth (ramp) or depth.guess_edges."""
    additive: float = 0.0
    """Share of the pictures whose particles add their light and hide nothing, as in Rain100."""
    camera: Camera | None = None
    """Noise and JPEG after the weather; none by default."""
    share: float = 1.0
    """Weight of this variant among those of its weather."""


Variants = tuple[Style, ...]
"""Variants of one kind of weather; every picture draws one of them."""

# Layers stand from far to near: far particles are thin, many and faint, near ones thick and few.
STYLES: dict[str, dict[str, Style | Variants]] = {
    "default": {
        "haze": Style(
            extinction=(1.8, 3.4),
            near=(0.05, 0.55),
            airlight=(0.66, 0.97),
            warmth=(-0.05, 0.09),
            patchy=(0.0, 0.4),
            dim=(0.0, 0.15),
            grey=(0.1, 0.4),
        ),
        "rain": Style(
            extinction=(0.1, 1.5),
            near=(0.05, 0.6),
            airlight=(0.55, 0.92),
            warmth=(-0.05, 0.04),
            patchy=(0.0, 0.7),
            dim=(0.0, 0.3),
            grey=(0.2, 0.6),
            mist=(0.5, 2.5),
            angle=(0.0, 35.0),
            particle_light=(0.75, 1.0),
            layers=(
                Layer(
                    width=(0.8, 1.1),
                    length=(4.0, 16.0),
                    cover=(0.15, 0.7),
                    opacity=(0.25, 0.7),
                ),
                Layer(
                    width=(1.0, 1.6),
                    length=(8.0, 30.0),
                    cover=(0.05, 0.28),
                    opacity=(0.35, 0.85),
                ),
                Layer(
                    width=(1.5, 3.0),
                    length=(10.0, 30.0),
                    cover=(0.0, 0.08),
                    opacity=(0.2, 0.7),
                ),
            ),
        ),
        "snow": Style(
            extinction=(0.1, 1.6),
            near=(0.05, 0.6),
            airlight=(0.72, 1.0),
            warmth=(-0.06, 0.02),
            patchy=(0.0, 0.5),
            dim=(0.0, 0.15),
            grey=(0.2, 0.7),
            angle=(0.0, 60.0),
            particle_light=(0.88, 1.0),
            layers=(
                Layer(
                    width=(1.0, 1.8),
                    length=(1.0, 2.0),
                    cover=(0.04, 0.25),
                    opacity=(0.5, 0.9),
                ),
                Layer(
                    width=(2.0, 3.5),
                    length=(1.0, 2.5),
                    cover=(0.03, 0.15),
                    opacity=(0.6, 1.0),
                ),
                Layer(
                    width=(3.5, 7.0),
                    length=(1.0, 2.5),
                    cover=(0.01, 0.09),
                    opacity=(0.5, 0.95),
                ),
                Layer(
                    width=(8.0, 16.0),
                    length=(1.0, 2.0),
                    cover=(0.0, 0.05),
                    opacity=(0.2, 0.6),
                ),
            ),
        ),
    },
    # Other directions, sizes and colours than `default`, to test how a network generalises.
    "shifted": {
        "haze": Style(
            extinction=(2.4, 3.8),
            near=(0.2, 0.7),
            airlight=(0.60, 0.90),
            warmth=(0.10, 0.28),
            patchy=(0.3, 0.7),
            dim=(0.1, 0.3),
            grey=(0.3, 0.6),
        ),
        "rain": Style(
            extinction=(0.6, 1.8),
            near=(0.2, 0.7),
            airlight=(0.40, 0.65),
            warmth=(-0.20, -0.08),
            patchy=(0.4, 0.9),
            dim=(0.2, 0.45),
            grey=(0.4, 0.7),
            mist=(0.5, 2.0),
            angle=(35.0, 60.0),
            particle_light=(0.65, 0.9),
            layers=(
                Layer(
                    width=(1.0, 1.3),
                    length=(10.0, 30.0),
                    cover=(0.25, 0.7),
                    opacity=(0.3, 0.6),
                ),
                Layer(
                    width=(1.6, 2.4),
                    length=(18.0, 40.0),
                    cover=(0.08, 0.25),
                    opacity=(0.4, 0.8),
                ),
                Layer(
                    width=(2.5, 5.0),
                    length=(16.0, 40.0),
                    cover=(0.03, 0.12),
                    opacity=(0.3, 0.7),
                ),
            ),
        ),
        "snow": Style(
            extinction=(0.6, 1.8),
            near=(0.2, 0.7),
            airlight=(0.55, 0.80),
            warmth=(-0.20, -0.06),
            patchy=(0.4, 0.8),
            dim=(0.2, 0.4),
            grey=(0.4, 0.7),
            angle=(50.0, 80.0),
            particle_light=(0.75, 0.95),
            layers=(
                Layer(
                    width=(1.2, 2.2),
                    length=(3.0, 7.0),
                    cover=(0.12, 0.35),
                    opacity=(0.5, 0.9),
                ),
                Layer(
                    width=(2.5, 4.5),
                    length=(3.0, 7.0),
                    cover=(0.06, 0.2),
                    opacity=(0.5, 0.9),
                ),
                Layer(
                    width=(5.0, 9.0),
                    length=(2.5, 5.0),
                    cover=(0.03, 0.12),
                    opacity=(0.5, 0.9),
                ),
                Layer(
                    width=(10.0, 22.0),
                    length=(1.5, 3.0),
                    cover=(0.02, 0.1),
                    opacity=(0.3, 0.7),
                ),
            ),
        ),
    },
}


def add_style(name: str, kinds: Mapping[str, Style | Variants]) -> None:
    """Register `style: name` for `add_weather` and option files.

    Call it in a module that the option file lists under `plugins`, so that loader processes know
    the style too.

    Args:
        name: name of the style.
        kinds: a Style, or a tuple of variants, for each of rain, haze and snow.

    Raises:
        ValueError: the name is taken by other ranges, or a kind is missing or unknown.
    """
    if sorted(kinds) != ["haze", "rain", "snow"]:
        raise ValueError(
            f"style {name!r} needs a Style for each of rain, haze and snow, not for "
            f"{', '.join(kinds)}"
        )
    # A plug-in may be imported more than once: the same style again is no error.
    if STYLES.get(name, dict(kinds)) != dict(kinds):
        raise ValueError(f"there is another style {name!r}: choose another name")
    STYLES[name] = dict(kinds)
