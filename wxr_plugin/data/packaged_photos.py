"""Photos of the demo when nothing is downloaded: those in scikit-image and scikit-learn."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.weather.synthesis import KINDS, add_weather
from wxr_plugin.utils.extras import imported

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
        return imported("sklearn.datasets").load_sample_image(f"{name}.jpg")
    from skimage import data, io

    suffix = "jpg" if name == "rocket" else "png"
    file = Path(data.__file__).parent / f"{name}.{suffix}"
    image = io.imread(file)
    # Some of the files have a fourth channel, for transparency.
    return np.ascontiguousarray(image[..., :3])


def weathered(photo: np.ndarray, kind: str, severity: float, seed: int, style: str) -> np.ndarray:
    """Return `photo` (uint8 RGB) with synthetic weather, uint8 RGB; a pure function."""
    image = photo.astype(np.float32) / 255
    rng = np.random.default_rng(seed)
    drawn = add_weather(image, kind, severity, rng, style)
    levels = (drawn * 255).round()
    return levels.astype(np.uint8)


def write_clean(folder: Path) -> None:
    """Write the clean training photos to `folder`, one PNG each."""
    for name in TRAIN:
        write_image(folder / f"{name}.png", packaged_photo(name))


def write_unlabelled(folder: Path, per_kind: int = 2) -> None:
    """Write the substitute for real photos, with one sub-folder for each kind of weather.

    These are the training photos under the shifted weather.
    """
    settings = _settings(TRAIN, per_kind)
    for number, (name, kind, severity) in enumerate(settings):
        clean = packaged_photo(name)
        seed = 1000 + number
        photo = weathered(clean, kind, severity, seed, "shifted")
        file = folder / kind / f"{name}_{number}.png"
        write_image(file, photo)


def write_unlabelled_truth(folder: Path, per_kind: int = 2) -> None:
    """Write the ground truth of the photos of `write_unlabelled`, with the same names.

    Only reports and measurements may read it.
    """
    for number, (name, kind, _) in enumerate(_settings(TRAIN, per_kind)):
        write_image(folder / kind / f"{name}_{number}.png", packaged_photo(name))


def write_held_out(folder: Path, per_kind: int = 2) -> None:
    """Write pairs that training never sees: lq/ and gt/ with equal names, those of `held_out`."""
    for file, (name, *arguments) in held_out(per_kind).items():
        photo = packaged_photo(name)
        write_image(folder / "gt" / file, photo)
        with_weather = weathered(photo, *arguments)
        write_image(folder / "lq" / file, with_weather)


def held_out(per_kind: int = 2) -> dict[str, tuple[str, str, float, int, str]]:
    """Return `photo_style_kind_number.png` -> photo and its arguments of `weathered`."""
    arguments = {}
    for style in _STYLES:
        settings = _settings(HELD_OUT, per_kind)
        for number, (name, kind, severity) in enumerate(settings):
            file = f"{name}_{style}_{kind}_{number}.png"
            # Seeds from 2000 on: no weather is one that training sees (seeds from 1000 on).
            seed = 2000 + number
            arguments[file] = (name, kind, severity, seed, style)
    return arguments


def _settings(names: tuple[str, ...], per_kind: int) -> Iterator[tuple[str, str, float]]:
    """Yield each photo under each kind `per_kind` times, with severities over [0.35, 0.75]."""
    severities = np.linspace(0.35, 0.75, per_kind).tolist()
    for name in names:
        for kind in KINDS:
            for severity in severities:
                yield name, kind, severity
