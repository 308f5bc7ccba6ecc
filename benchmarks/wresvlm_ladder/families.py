"""Two families of synthetic weather that the labelled data lack, as a plug-in for `plugins`.

`storm` plays the real world: a veil that is thicker and less even than the labelled family's, rain
and snow with a direction and sizes of their own. `gale` lies between it and `default`, and differs
from both: the foreign restorers were trained on it. The colour of the light is that of `default` in
both, because no rating of visibility shows which colour is right.
"""

from wxr_plugin.data.weather.styles import STYLES, Layer, Style, add_style

GALE = {
    "haze": Style(
        extinction=(2.0, 3.6),
        near=(0.1, 0.6),
        airlight=(0.66, 0.97),
        warmth=(-0.05, 0.09),
        patchy=(0.1, 0.6),
        dim=(0.0, 0.15),
        grey=(0.1, 0.4),
    ),
    "rain": Style(
        extinction=(0.6, 2.2),
        near=(0.1, 0.6),
        airlight=(0.55, 0.92),
        warmth=(-0.05, 0.04),
        patchy=(0.0, 0.7),
        dim=(0.0, 0.2),
        grey=(0.2, 0.6),
        mist=(0.0, 1.0),
        angle=(20.0, 50.0),
        particle_light=(0.75, 1.0),
        layers=(
            Layer(width=(0.9, 1.2), length=(7.0, 25.0), cover=(0.2, 0.7), opacity=(0.25, 0.65)),
            Layer(width=(1.3, 2.1), length=(12.0, 36.0), cover=(0.06, 0.27), opacity=(0.35, 0.8)),
            Layer(width=(2.0, 4.0), length=(12.0, 36.0), cover=(0.01, 0.1), opacity=(0.25, 0.7)),
        ),
    ),
    "snow": Style(
        extinction=(0.6, 2.2),
        near=(0.1, 0.6),
        airlight=(0.72, 1.0),
        warmth=(-0.06, 0.02),
        patchy=(0.1, 0.6),
        dim=(0.0, 0.15),
        grey=(0.2, 0.6),
        angle=(25.0, 65.0),
        particle_light=(0.85, 1.0),
        layers=(
            Layer(width=(1.1, 2.0), length=(2.0, 5.0), cover=(0.08, 0.3), opacity=(0.5, 0.9)),
            Layer(width=(2.2, 4.0), length=(2.0, 5.0), cover=(0.05, 0.18), opacity=(0.55, 0.95)),
            Layer(width=(4.0, 8.0), length=(1.5, 4.0), cover=(0.02, 0.1), opacity=(0.5, 0.9)),
            Layer(width=(9.0, 19.0), length=(1.0, 3.0), cover=(0.01, 0.07), opacity=(0.25, 0.65)),
        ),
    ),
}

STORM = {
    "haze": Style(
        extinction=(2.4, 3.8),
        near=(0.1, 0.6),
        airlight=(0.7, 0.98),
        warmth=(-0.05, 0.09),
        patchy=(0.3, 0.8),
        dim=(0.0, 0.1),
        grey=(0.1, 0.4),
    ),
    "rain": Style(
        extinction=(1.0, 2.4),
        near=(0.1, 0.6),
        airlight=(0.6, 0.92),
        warmth=(-0.05, 0.04),
        patchy=(0.2, 0.8),
        dim=(0.0, 0.15),
        grey=(0.2, 0.5),
        angle=(40.0, 65.0),
        particle_light=(0.75, 1.0),
        layers=STYLES["shifted"]["rain"].layers,
    ),
    "snow": Style(
        extinction=(1.0, 2.4),
        near=(0.1, 0.6),
        airlight=(0.72, 1.0),
        warmth=(-0.06, 0.02),
        patchy=(0.2, 0.8),
        dim=(0.0, 0.1),
        grey=(0.2, 0.5),
        angle=(50.0, 80.0),
        particle_light=(0.85, 1.0),
        layers=STYLES["shifted"]["snow"].layers,
    ),
}

add_style("gale", GALE)
add_style("storm", STORM)
