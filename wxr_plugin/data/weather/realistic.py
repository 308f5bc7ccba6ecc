"""Style `realistic`: weather as in photographs.

Haze and snow are tuples of variants, of which every picture draws one. The ranges are our choice.
Compared with `default`, the scene keeps its light and its colour, the airlight is close to neutral,
the veil follows the edges of a smooth depth, particles have defocus, and the camera adds noise and
JPEG.
"""

from wxr_plugin.data.weather.styles import STYLES, Camera, Layer, Style

CAMERA = Camera(share=0.4, noise=(0.0, 0.02), loss=(5.0, 40.0))

HAZE = (
    # outdoors: thin nearby, dense at the horizon
    Style(
        extinction=(0.8, 3.2),
        near=(0.02, 0.3),
        airlight=(0.7, 1.0),
        warmth=(-0.05, 0.06),
        patchy=(0.0, 0.08),
        dim=(0.0, 0.06),
        grey=(0.0, 0.1),
        depth="edges",
        camera=CAMERA,
        share=0.45,
    ),
    # fog or smoke: an even veil, also indoors
    Style(
        extinction=(0.8, 2.6),
        near=(0.35, 0.9),
        airlight=(0.6, 0.95),
        warmth=(-0.05, 0.08),
        patchy=(0.0, 0.12),
        dim=(0.0, 0.06),
        grey=(0.0, 0.1),
        depth="edges",
        camera=CAMERA,
        share=0.3,
    ),
    # dusk, or the yellow light of dust
    Style(
        extinction=(0.8, 2.8),
        near=(0.1, 0.7),
        airlight=(0.4, 0.85),
        warmth=(-0.15, 0.3),
        patchy=(0.0, 0.15),
        dim=(0.0, 0.2),
        grey=(0.0, 0.2),
        depth="edges",
        camera=CAMERA,
        share=0.25,
    ),
)

# fine streaks far away, few and soft ones nearby, a veil that grows with distance, spray
RAIN = Style(
    extinction=(0.0, 1.2),
    near=(0.05, 0.5),
    airlight=(0.55, 0.95),
    warmth=(-0.04, 0.04),
    patchy=(0.0, 0.25),
    dim=(0.0, 0.12),
    grey=(0.0, 0.25),
    mist=(0.0, 1.0),
    angle=(0.0, 35.0),
    particle_light=(0.7, 1.0),
    layers=(
        Layer(
            width=(0.7, 1.0),
            length=(4.0, 14.0),
            cover=(0.15, 0.8),
            opacity=(0.12, 0.4),
            turn=4.0,
        ),
        Layer(
            width=(0.9, 1.5),
            length=(8.0, 26.0),
            cover=(0.03, 0.25),
            opacity=(0.2, 0.6),
            blur=(0.0, 0.6),
        ),
        Layer(
            width=(1.5, 3.0),
            length=(10.0, 34.0),
            cover=(0.0, 0.07),
            opacity=(0.1, 0.45),
            blur=(0.6, 2.0),
        ),
    ),
    depth="edges",
    camera=CAMERA,
)

SNOW = (
    # falling snow: many small flakes, fewer large ones that are out of focus, a pale veil
    Style(
        extinction=(0.0, 1.3),
        near=(0.05, 0.6),
        airlight=(0.7, 1.0),
        warmth=(-0.06, 0.03),
        patchy=(0.0, 0.15),
        dim=(0.0, 0.06),
        grey=(0.0, 0.2),
        angle=(0.0, 60.0),
        particle_light=(0.85, 1.0),
        layers=(
            Layer(
                width=(1.0, 1.8),
                length=(1.0, 2.5),
                cover=(0.03, 0.22),
                opacity=(0.4, 0.85),
                shape="flake",
                turn=8.0,
            ),
            Layer(
                width=(1.8, 3.2),
                length=(1.0, 2.5),
                cover=(0.02, 0.12),
                opacity=(0.5, 1.0),
                shape="flake",
                blur=(0.0, 0.3),
                turn=8.0,
            ),
            Layer(
                width=(3.0, 6.0),
                length=(1.0, 2.5),
                cover=(0.0, 0.08),
                opacity=(0.4, 1.0),
                shape="flake",
                blur=(0.1, 0.6),
                turn=10.0,
            ),
            Layer(
                width=(7.0, 16.0),
                length=(1.0, 1.6),
                cover=(0.0, 0.06),
                opacity=(0.15, 0.6),
                shape="flake",
                blur=(0.3, 0.8),
                turn=10.0,
            ),
        ),
        depth="edges",
        camera=CAMERA,
        share=0.7,
    ),
    # wind: short streaks of snow through a dense veil
    Style(
        extinction=(0.4, 2.2),
        near=(0.1, 0.6),
        airlight=(0.7, 1.0),
        warmth=(-0.08, 0.03),
        patchy=(0.0, 0.2),
        dim=(0.0, 0.08),
        grey=(0.0, 0.3),
        angle=(20.0, 85.0),
        particle_light=(0.8, 1.0),
        layers=(
            Layer(
                width=(0.9, 1.6),
                length=(2.0, 7.0),
                cover=(0.08, 0.35),
                opacity=(0.25, 0.7),
                shape="flake",
                turn=5.0,
            ),
            Layer(
                width=(1.6, 3.5),
                length=(2.0, 6.0),
                cover=(0.02, 0.12),
                opacity=(0.3, 0.85),
                shape="flake",
                blur=(0.0, 0.5),
                turn=5.0,
            ),
            Layer(
                width=(4.0, 9.0),
                length=(1.5, 4.0),
                cover=(0.0, 0.06),
                opacity=(0.2, 0.6),
                shape="flake",
                blur=(0.3, 0.8),
                turn=5.0,
            ),
        ),
        depth="edges",
        camera=CAMERA,
        share=0.3,
    ),
)

STYLES["realistic"] = {"haze": HAZE, "rain": RAIN, "snow": SNOW}
