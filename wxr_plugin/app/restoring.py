"""Restoring and rating for the page: photos in, files and facts out."""

import tempfile
import zipfile
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import msgspec

from wxr_plugin.api import Model, degradation, describe, load, rate
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.packaged import PACKAGED


class Job(msgspec.Struct):
    """What the page asks for."""

    restorers: list[str]
    tile: int
    """Side of the tiles; 0: chosen by the memory."""
    precision: str
    device: str | None


class Result(msgspec.Struct):
    """One photo by one restorer."""

    label: str
    """Photo and restorer, as the page lists them."""
    before: Path
    after: Path
    facts: list[list[str]]
    """Rows of the table, the input's first: photo, version, rating, degradation, description."""


def choices() -> list[str]:
    """Return the restorers that can run now: the packaged ones, then methods with weights here."""
    return ["small", *(name for name in PACKAGED if name != "small"), *_published(True)]


def missing() -> list[str]:
    """Return the published methods whose weights are not here."""
    return _published(False)


def _published(is_here: bool) -> list[str]:
    from wxr_plugin.zoo.download import is_complete
    from wxr_plugin.zoo.rows import rows

    return [name for name in rows() if is_complete(name) == is_here]


def licence(name: str) -> str:
    """Return what the authors of a method permit, as Markdown."""
    from wxr_plugin.zoo.rows import find_row

    row = find_row(name)
    return f"**{row.licence}**\n\n{row.paper}\n\n{row.source}"


def fetch(name: str | None, is_accepted: bool) -> None:
    """Download the weights of a method.

    Raises:
        WxrError: no method, its licence was not accepted, or it cannot be fetched.
    """
    from wxr_plugin.zoo.download import download

    if not name:
        raise WxrError("choose a method first")
    if not is_accepted:
        raise WxrError(f"accept the licence of {name} first")
    download(name, accept_licence=True)


def restore(photos: Sequence[Path], job: Job, progress: Any = None) -> list[Result]:
    """Restore each photo by each restorer, and ask the packaged models about each version.

    Raises:
        WxrError: no photo or restorer, or one of them cannot be used.
    """
    if not photos:
        raise WxrError("drop at least one photo")
    if not job.restorers:
        raise WxrError("choose at least one restorer")
    if job.tile < 0:
        raise WxrError(f"tile {job.tile}: take a side in pixels, or 0")
    folder = Path(tempfile.mkdtemp(dir=_workplace().name))
    results: list[Result] = []
    # Place of a photo -> facts of the photo itself, which are the same for every restorer.
    inputs: dict[int, list[str]] = {}
    stems = _stems(photos)
    steps = [(place, name) for place in range(len(photos)) for name in job.restorers]
    for done, (place, name) in enumerate(steps):
        photo = photos[place]
        title = f"{stems[place]}{photo.suffix}"
        show = _shown(progress, done, len(steps), f"{title} by {name}")
        model = _model(name, job.tile, job.precision, job.device)
        target = folder / name.replace("/", "_") / f"{stems[place]}.png"
        target.parent.mkdir(exist_ok=True)
        after = model(photo, progress=show).save(target)
        if place not in inputs:
            inputs[place] = _facts(title, "input", photo, job.device)
        facts = [inputs[place], _facts(title, name, after, job.device)]
        results.append(Result(f"{title} by {name}", photo, Path(after), facts))
    return results


def _stems(photos: Sequence[Path]) -> list[str]:
    """Return a name for the result of each photo; equal ones get a number, as in p-2."""
    names: list[str] = []
    for photo in photos:
        name, number = photo.stem, 2
        while name in names:
            name, number = f"{photo.stem}-{number}", number + 1
        names.append(name)
    return names


@cache
def _workplace() -> tempfile.TemporaryDirectory:
    """Return the folder of all results, which is removed when the page ends."""
    return tempfile.TemporaryDirectory(prefix="wxr_app_")


@lru_cache(maxsize=4)
def _model(name: str, tile: int, precision: str, device: str | None) -> Model:
    return load(name, tile=tile or "auto", precision=precision, device=device)


def _facts(photo: str, version: str, path: Path, device: str | None) -> list[str]:
    rating = rate(path, device=device)
    answer = degradation(path, device=device)
    words = f"{answer.word} {answer.probability:.0%}"
    return [photo, version, f"{rating:.2f}", words, describe(path, device=device)]


def _shown(
    progress: Any, done: int, total: int, text: str
) -> Callable[[str, int, int], None] | None:
    """Return the `progress` of a model that moves the page's bar; None without a bar."""
    if progress is None:
        return None

    def show(unit: str, part: int, parts: int) -> None:
        progress((done + part / max(parts, 1)) / total, desc=text)

    return show


def zipped(results: Sequence[Result]) -> Path:
    """Return a new archive with all results, in a folder for each restorer."""
    path = results[0].after.parents[1] / "restored.zip"
    # PNG files do not get smaller.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for result in results:
            archive.write(result.after, f"{result.after.parent.name}/{result.after.name}")
    return path


def ranked(photos: Sequence[Path], rater: str, device: str | None) -> list[tuple[Path, float]]:
    """Return photos with their ratings, best first."""
    ratings = rate(list(photos), rater or "tiny", device=device)
    return sorted(zip(photos, ratings), key=lambda pair: -pair[1])
