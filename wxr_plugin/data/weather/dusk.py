"""Style `dusk`: weather in weak or coloured light.

The layers of particles are those of `realistic` and `default`; what differs is the light: clouds
take more of it, the veil is darker, bluish at dusk or yellow in dust and under lamps, and uneven.
A network that has seen neutral veils alone leaves coloured ones as they are. The ranges are our
choice; the colours of the veil include those of `shifted`, directions and sizes do not.
"""

from msgspec.structs import replace

from wxr_plugin.data.weather import realistic
from wxr_plugin.data.weather.styles import STYLES, Style

LIGHT = {
    "near": (0.05, 0.7),
    "airlight": (0.35, 0.85),
    "warmth": (-0.25, 0.3),
    "patchy": (0.0, 0.6),
    "dim": (0.05, 0.45),
    "grey": (0.0, 0.6),
}
"""Ranges of the veil and of the clouds, for every kind of weather."""


def _dusk(style: Style, extinction: tuple[float, float], **changes: object) -> Style:
    """Return a copy of `style` in weak or coloured light."""
    return replace(style, extinction=extinction, share=1.0, **LIGHT, **changes)


_RAIN = {"extinction": (0.2, 1.8), "particle_light": (0.6, 1.0), "angle": (0.0, 50.0)}
_SNOW = {"extinction": (0.2, 1.8), "particle_light": (0.7, 1.0)}

STYLES["dusk"] = {
    "haze": tuple(_dusk(style, (0.8, 3.6)) for style in realistic.HAZE[:2]),
    "rain": tuple(_dusk(style, **_RAIN) for style in (realistic.RAIN, STYLES["default"]["rain"])),
    "snow": tuple(_dusk(style, **_SNOW) for style in (*realistic.SNOW, STYLES["default"]["snow"])),
}
