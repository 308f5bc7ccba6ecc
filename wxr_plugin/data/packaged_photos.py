"""Photos of the demo when nothing is downloaded: those in scikit-image and scikit-learn."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.weather.synthesis import KINDS, add_weather

TRAIN = ("astronaut", "china", "flower", "motorcycle_left", "motorcycle_right", "rocket")
HELD_OUT = ("chelsea", "coffee")
"""Photos that training never sees.

Training has the only bright scene, china: without it a few hundred iterations teach the network to
darken.
"""
_STYLES = ("default", "shifted")


def packaged_photo(name: str) -> np.ndarray:
    """Return one of the packaged colour photos, uint8 RGB (H, W, 3)."""
    if name in ("china", "flower"):
        from sklearn.datasets import load_sample_image

        return load_sample_image(f"{name}.jpg")
    from skimage import data, io

    suffix = "jpg" if name == "rocket" else "png"
    file = Path(data.__file__).parent / f"{name}.{suffix}"
    return np.ascontiguousarray(io.imread(file)[..., :3])


def weathered(photo: np.ndarray, kind: str, severity: float, seed: int, style: str) -> np.ndarray:
    """Return `photo` (uint8 RGB) with synthetic weather, uint8 RGB; a pure function."""
    image = photo.astype(np.float32) / 255
    drawn = add_weather(image, kind, severity, np.random.default_rng(seed), style)
    return (drawn * 255).round().astype(np.uint8)


def write_clean(folder: Path) -> None:
    """Write the clean training photos to `folder`, one PNG each."""
    for name in TRAIN:
        write_image(folder / f"{name}.png", packaged_photo(name))


def write_unlabelled(folder: Path, per_kind: int = 2) -> None:
    """Write the substitute for real photos, with one sub-folder for each kind of weather.

    These are the training photos under the shifted weather.
    """
    for number, (name, kind, severity) in enumerate(_settings(TRAIN, per_kind)):
        photo = weathered(packaged_photo(name), kind, severity, 1000 + number, "shifted")
        write_image(folder / kind / f"{name}_{number}.png", photo)


def write_held_out(folder: Path, per_kind: int = 2) -> None:
    """Write pairs that training never sees: lq/ and gt/ with equal names, those of `held_out`."""
    for file, (name, kind, severity, seed, style) in held_out(per_kind).items():
        photo = packaged_photo(name)
        write_image(folder / "gt" / file, photo)
        write_image(folder / "lq" / file, weathered(photo, kind, severity, seed, style))


def held_out(per_kind: int = 2) -> dict[str, tuple[str, str, float, int, str]]:
    """Return `photo_style_kind_number.png` -> photo and its arguments of `weathered`."""
    arguments = {}
    for style in _STYLES:
        for number, (name, kind, severity) in enumerate(_settings(HELD_OUT, per_kind)):
            file = f"{name}_{style}_{kind}_{number}.png"
            # Seeds from 2000 on: no weather is one that training sees (seeds from 1000 on).
            arguments[file] = (name, kind, severity, 2000 + number, style)
    return arguments


def _settings(names: tuple[str, ...], per_kind: int) -> Iterator[tuple[str, str, float]]:
    """Yield each photo under each kind `per_kind` times, with severities over [0.35, 0.75]."""
    for name in names:
        for kind in KINDS:
            for severity in np.linspace(0.35, 0.75, per_kind):
                yield name, kind, float(severity)
