"""Photos of the stand-in: labelled clear ones, "real" ones with hidden truth, held-out pairs."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import families  # noqa: F401  (makes the style storm known)
import numpy as np

from wxr_plugin.data.images.io import list_images, read_image, write_image
from wxr_plugin.data.weather.synthesis import KINDS, add_weather
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import write_text

SEVERITY = (0.35, 0.95)


def prepare(work: Path, others: Path, unlabelled: int, held_out: int) -> None:
    """Write `unlabelled` photos of `others` under storm, their originals, and `held_out` pairs.

    unlabelled/KIND/NAME.png goes to training, truth/KIND/NAME.png never does;
    held_out/{lq,gt}/KIND/NAME.png are other photos. Every photo has one kind of weather, drawn from
    its name. Nothing is written again when it is there.
    """
    if (work / "photos.txt").is_file():
        return
    files = list_images(others)
    if len(files) < unlabelled + held_out:
        raise WxrError(
            f"{others} has {len(files)} photos, {unlabelled + held_out} are needed: give more, or "
            f"ask less"
        )
    for file, kind, lq, gt in _pairs(files[:unlabelled]):
        write_image(work / "unlabelled" / kind / f"{file.stem}.png", lq)
        write_image(work / "truth" / kind / f"{file.stem}.png", gt)
    for file, kind, lq, gt in _pairs(files[unlabelled : unlabelled + held_out]):
        write_image(work / "held_out" / "lq" / kind / f"{file.stem}.png", lq)
        write_image(work / "held_out" / "gt" / kind / f"{file.stem}.png", gt)
    write_text(
        work / "photos.txt",
        f"{unlabelled} unlabelled and {held_out} held-out photos of {others.name}\n",
    )


def pairs_of(lq: Path, gt: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield (kind, photo with weather, clear photo) of the files that `prepare` wrote."""
    for kind in KINDS:
        for file in list_images(lq / kind):
            yield kind, read_image(file), read_image(gt / kind / file.name)


def _pairs(files: list[Path]) -> Iterator[tuple[Path, str, np.ndarray, np.ndarray]]:
    for index, file in enumerate(files):
        rng = np.random.default_rng(int(hashlib.sha256(file.stem.encode()).hexdigest()[:8], 16))
        kind, gt = KINDS[index % len(KINDS)], read_image(file)
        lq = add_weather(
            gt.astype(np.float32) / 255, kind, float(rng.uniform(*SEVERITY)), rng, "storm"
        )
        yield file, kind, (lq * 255).round().astype(np.uint8), gt
