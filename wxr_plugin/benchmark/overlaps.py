"""Test images that methods were trained on, found by content, by what is seen, and by known names."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from wxr_plugin.benchmark.hashes import Hashes, nearest
from wxr_plugin.benchmark.options import OverlapOptions
from wxr_plugin.benchmark.sets import BenchmarkSet
from wxr_plugin.data.images.store import ImageStore
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.csv_text import to_csv
from wxr_plugin.utils.files import write_text

FILE = "overlaps.csv"
COLUMNS = ("set", "image", "which", "file", "training", "kind", "distance")


class Overlap(NamedTuple):
    """A test image and the training image that it is.

    `which` is lq or gt, `kind` exact (same bytes), near (same to the perceptual hash) or name (a
    known case), and `distance` the bits in which the perceptual hashes differ.
    """

    set: str
    image: str
    which: str
    file: str
    training: str
    kind: str
    distance: int | str = ""


class _Trained(NamedTuple):
    place: str
    content: str
    seen: str


def count(options: OverlapOptions, sets: list[BenchmarkSet]) -> int:
    """Images that have to be looked at."""
    tested = sum(1 + bool(photo.gt) for each in sets for photo in each.photos)
    return tested + sum(len(ImageStore(root)) for root in options.training)


def find(
    options: OverlapOptions,
    sets: list[BenchmarkSet],
    hashes: Hashes,
    advance: Callable[[int, object], None],
) -> list[Overlap]:
    """Every test image that is also a training image, once.

    Raises WxrError for training folders without images.
    """
    stores = [(store, store.keys()) for store in map(ImageStore, options.training)]
    trained = [_trained(store, key, hashes, advance) for store, keys in stores for key in keys]
    by_content = {each.content: each for each in trained}
    found, unlike = [], []
    for each in sets:
        for name, which, file in _tested(each):
            content, seen = hashes.seen(file)
            advance(1, "")
            row = (each.name, name, which, str(file))
            if content in by_content:
                found.append(Overlap(*row, by_content[content].place, "exact", 0))
            elif seen:
                unlike.append((row, seen))
        found += _by_name(each, trained)
    return found + _near(unlike, [each for each in trained if each.seen], options.threshold)


def write(folder: Path, found: list[Overlap]) -> None:
    """Write FILE into the benchmark's folder."""
    write_text(folder / FILE, to_csv(COLUMNS, found))


def tell(found: list[Overlap], sets: list[BenchmarkSet]) -> Iterator[str]:
    """A line for each set with overlaps, with an example of each kind."""
    for each in sets:
        for kind, words in (
            ("exact", "the same file"),
            ("near", "the same picture"),
            ("name", "a scene known to be"),
        ):
            rows = [row for row in found if (row.set, row.kind) == (each.name, kind)]
            images = {row.image for row in rows}
            if rows:
                share = f"{len(images)} of {len(each.photos)} photos"
                example = f"{Path(rows[0].file).name} = {rows[0].training}"
                yield f"overlap: {each.title}: {share}, {words} in training: {example}"


def _trained(
    store: ImageStore, key: str, hashes: Hashes, advance: Callable[[int, object], None]
) -> _Trained:
    try:
        content, seen = hashes.seen_in(store, key)
    except (WxrError, OSError):  # a training image that cannot be read was not trained on either
        content, seen = "", ""
    advance(1, "")
    return _Trained(store.path(key), content, seen)


def _tested(each: BenchmarkSet) -> Iterator[tuple[str, str, Path]]:
    for photo in each.photos:
        yield photo.name, "lq", photo.lq
        if photo.gt:
            yield photo.name, "gt", photo.gt


def _near(
    tested: list[tuple[tuple, str]], trained: list[_Trained], threshold: int
) -> list[Overlap]:
    places = (
        nearest([seen for _, seen in tested], [each.seen for each in trained]) if trained else []
    )
    pairs = zip(tested, places)
    return [
        Overlap(*row, trained[at].place, "near", bits)
        for (row, _), (bits, at) in pairs
        if bits <= threshold
    ]


def _by_name(each: BenchmarkSet, trained: list[_Trained]) -> list[Overlap]:
    """Scenes that are known to be in a training set, where files of these names are there."""
    if not each.known or not each.known.trained_on:
        return []
    names = {Path(one.place).stem: one.place for one in trained}
    scenes = {
        _scene(stem): place
        for stem, place in names.items()
        if re.fullmatch(each.known.trained_on, stem)
    }
    return [
        Overlap(each.name, photo.name, "gt", str(photo.gt), scenes[photo.gt.stem], "name")
        for photo in each.photos
        if photo.gt and photo.gt.stem in scenes
    ]


def _scene(stem: str) -> str:
    return "_".join(stem.split("_")[:2])
