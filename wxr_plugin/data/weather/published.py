"""Style `published`: weather as in the synthetic sets of papers.

Nothing of the sets is used; the ranges are our choice, set by eye and by the mean, the spread and
the direction of the difference between degraded and clear photos of their sample pairs:

- rain: Rain100L and Rain100H (Yang et al., CVPR 2017), Rain14000 (Fu et al., CVPR 2017, "DDN").
- haze: RESIDE (Li et al., IEEE TIP 2019), a neutral veil over a depth.
- snow: Snow100K (Liu et al., IEEE TIP 2018), opaque flakes without a veil.

Unlike in `realistic`, the scene keeps its light and colour and the camera adds nothing, except for
the JPEG of one rain, so what is left to learn is to remove the particles.
"""

from wxr_plugin.data.weather.styles import STYLES, Camera, Layer, Style

_SCENE = {
    "warmth": (0.0, 0.0),
    "patchy": (0.0, 0.0),
    "dim": (0.0, 0.0),
    "grey": (0.0, 0.0),
}
"""The scene stays as it is."""
_RAIN = {**_SCENE, "near": (0.5, 1.0), "airlight": (0.6, 0.95), "particle_warmth": (0.0, 0.0)}

RAIN = (
    # Rain100L: bright long streaks in one direction
    Style(
        **_RAIN,
        extinction=(0.0, 0.05),
        angle=(0.0, 40.0),
        particle_light=(0.8, 1.0),
        layers=(
            Layer(
                width=(0.9, 1.6),
                length=(12.0, 45.0),
                cover=(0.06, 0.35),
                opacity=(0.25, 0.8),
                turn=2.0,
            ),
            Layer(
                width=(1.0, 2.2),
                length=(16.0, 45.0),
                cover=(0.0, 0.12),
                opacity=(0.3, 0.9),
                turn=2.0,
            ),
        ),
        additive=1.0,
        share=0.25,
    ),
    # Rain100H: streaks in several directions that cover most of the picture and overlap
    Style(
        **_RAIN,
        extinction=(0.0, 0.1),
        angle=(0.0, 20.0),
        particle_light=(0.9, 1.0),
        layers=(
            Layer(
                width=(0.8, 1.4),
                length=(10.0, 40.0),
                cover=(0.3, 1.2),
                opacity=(0.15, 0.5),
                turn=5.0,
            ),
            Layer(
                width=(1.0, 2.0),
                length=(16.0, 60.0),
                cover=(0.2, 0.9),
                opacity=(0.25, 0.8),
                turn=12.0,
            ),
            Layer(
                width=(1.4, 3.2),
                length=(16.0, 60.0),
                cover=(0.1, 0.5),
                opacity=(0.25, 0.9),
                turn=12.0,
            ),
        ),
        additive=1.0,
        share=0.45,
    ),
    # Rain14000: noise with motion blur, blended like light on a screen, which brightens the scene
    Style(
        **_RAIN,
        extinction=(0.0, 0.3),
        angle=(0.0, 50.0),
        particle_light=(0.9, 1.0),
        layers=(
            Layer(
                width=(0.7, 2.0),
                length=(8.0, 50.0),
                cover=(0.3, 0.98),
                opacity=(0.2, 0.9),
                shape="noise",
                turn=2.0,
            ),
        ),
        # the set is stored as JPEG
        camera=Camera(share=0.5, noise=(0.0, 0.0), loss=(3.0, 20.0)),
        share=0.45,
    ),
    # dense thin streaks, half transparent, and a thin veil
    Style(
        **_RAIN,
        extinction=(0.0, 0.3),
        angle=(0.0, 45.0),
        particle_light=(0.8, 1.0),
        layers=(
            Layer(
                width=(0.7, 1.2),
                length=(10.0, 40.0),
                cover=(0.5, 2.2),
                opacity=(0.15, 0.5),
                turn=2.0,
            ),
            Layer(
                width=(0.8, 1.8),
                length=(15.0, 50.0),
                cover=(0.05, 0.5),
                opacity=(0.2, 0.7),
                turn=2.0,
            ),
        ),
        additive=0.3,
        share=0.3,
    ),
)

HAZE = Style(
    **_SCENE,
    extinction=(0.6, 3.0),
    near=(0.05, 0.7),
    airlight=(0.7, 1.0),
    depth="edges",
)

SNOW = Style(
    **_SCENE,
    extinction=(0.0, 0.1),
    near=(0.5, 1.0),
    airlight=(0.8, 1.0),
    angle=(0.0, 60.0),
    particle_light=(0.85, 1.0),
    particle_warmth=(-0.01, 0.01),
    layers=(
        Layer(
            width=(1.0, 1.8),
            length=(1.0, 2.5),
            cover=(0.03, 0.3),
            opacity=(0.4, 0.9),
            shape="flake",
            turn=8.0,
        ),
        Layer(
            width=(1.8, 3.5),
            length=(1.0, 2.5),
            cover=(0.02, 0.15),
            opacity=(0.5, 1.0),
            shape="flake",
            blur=(0.0, 0.3),
            turn=8.0,
        ),
        Layer(
            width=(3.5, 8.0),
            length=(1.0, 2.5),
            cover=(0.0, 0.1),
            opacity=(0.4, 1.0),
            shape="flake",
            blur=(0.1, 0.5),
            turn=10.0,
        ),
    ),
)

STYLES["published"] = {"haze": HAZE, "rain": RAIN, "snow": SNOW}
