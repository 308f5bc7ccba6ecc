"""Test images that methods were trained on, found by content, by appearance and by known names."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wxr_plugin.benchmark.hashes import Hashes, nearest
from wxr_plugin.benchmark.options import OverlapOptions
from wxr_plugin.benchmark.sets import BenchmarkSet
from wxr_plugin.data.images.store import ImageStore
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.csv_text import to_csv
from wxr_plugin.utils.files import write_text
from wxr_plugin.utils.progress import Advance

FILE = "overlaps.csv"
COLUMNS = ("set", "image", "which", "file", "training", "kind", "distance")
"""Columns of FILE, the fields of Overlap."""
KINDS = {"exact": "the same file", "near": "the same picture", "name": "a scene known to be"}
"""Kinds of overlaps, and how they are described."""


class Overlap(NamedTuple):
    """A test image and the training image that shows the same.

    Attributes:
        set: name of the test set.
        image: name of the photo.
        side: lq or gt.
        file: file of the test image.
        training: the training image.
        kind: exact (same bytes), near (similar perceptual hash) or name (a known case).
        distance: bits in which the perceptual hashes differ; empty for a known case.
    """

    set: str
    image: str
    side: str
    file: str
    training: str
    kind: str
    distance: int | str = ""


class _Trained(NamedTuple):
    """A training image with the hashes of its bytes and of the picture, empty if unknown."""

    place: str
    content: str
    seen: str


class _Tested(NamedTuple):
    """A test image: the first fields of its Overlap."""

    set: str
    image: str
    side: str
    file: Path


def count(options: OverlapOptions, sets: list[BenchmarkSet]) -> int:
    """Return the number of images that `find` reads."""
    tested = [image for test_set in sets for image in _tested(test_set)]
    trained = sum(len(ImageStore(root)) for root in options.training)
    return len(tested) + trained


def find(
    options: OverlapOptions,
    sets: list[BenchmarkSet],
    hashes: Hashes,
    advance: Advance,
) -> list[Overlap]:
    """Return every test image that is also a training image, once.

    Args:
        options: folders of training images, and the distance at which two images count as equal.
        sets: the test sets.
        hashes: takes the hashes of all images.
        advance: called after each image.

    Raises:
        WxrError: a training folder has no images.
    """
    stores = [ImageStore(root) for root in options.training]
    trained = []
    for store in stores:
        keys = store.keys()
        trained += [_trained(store, key, hashes, advance) for key in keys]
    by_content = {image.content: image for image in trained}
    overlaps = []
    others = []
    for test_set in sets:
        for image in _tested(test_set):
            content, seen = hashes.seen(image.file)
            advance(1, "")
            if content in by_content:
                overlaps.append(_overlap(image, by_content[content], "exact", 0))
            elif seen:
                others.append((image, seen))
        overlaps += _by_name(test_set, trained)
    # Plain pictures have no perceptual hash, as all of them look alike.
    comparable = [image for image in trained if image.seen]
    overlaps += _near(others, comparable, options.threshold)
    return overlaps


def write(folder: Path, overlaps: list[Overlap]) -> None:
    """Write FILE into the benchmark's folder."""
    write_text(folder / FILE, to_csv(COLUMNS, overlaps))


def describe(overlaps: list[Overlap], sets: list[BenchmarkSet]) -> Iterator[str]:
    """Yield a line for each set with overlaps and each of their kinds, with an example."""
    for test_set in sets:
        of_set = [row for row in overlaps if row.set == test_set.name]
        for kind, words in KINDS.items():
            rows = [row for row in of_set if row.kind == kind]
            if not rows:
                continue
            # A photo and its ground truth may both be training images.
            images = {row.image for row in rows}
            share = f"{len(images)} of {len(test_set.photos)} photos"
            first = rows[0]
            name = Path(first.file).name
            example = f"{name} = {first.training}"
            yield f"overlap: {test_set.title}: {share}, {words} in training: {example}"


def _overlap(image: _Tested, trained: _Trained, kind: str, distance: int | str) -> Overlap:
    return Overlap(
        set=image.set,
        image=image.image,
        side=image.side,
        file=str(image.file),
        training=trained.place,
        kind=kind,
        distance=distance,
    )


def _trained(store: ImageStore, key: str, hashes: Hashes, advance: Advance) -> _Trained:
    try:
        content, seen = hashes.seen_in(store, key)
    except (WxrError, OSError):  # unreadable, so no method was trained on it
        content, seen = "", ""
    advance(1, "")
    return _Trained(store.path(key), content, seen)


def _tested(test_set: BenchmarkSet) -> Iterator[_Tested]:
    for photo in test_set.photos:
        yield _Tested(test_set.name, photo.name, "lq", photo.lq)
        if photo.gt:
            yield _Tested(test_set.name, photo.name, "gt", photo.gt)


def _near(
    tested: list[tuple[_Tested, str]],
    trained: list[_Trained],
    threshold: int,
) -> list[Overlap]:
    """Return the test images whose perceptual hash is near that of a training image."""
    if not trained:
        return []
    hashes = [seen for _, seen in tested]
    trained_hashes = [image.seen for image in trained]
    matches = nearest(hashes, trained_hashes)
    overlaps = []
    for (image, _), (distance, index) in zip(tested, matches):
        if distance <= threshold:
            overlaps.append(_overlap(image, trained[index], "near", distance))
    return overlaps


def _by_name(test_set: BenchmarkSet, trained: list[_Trained]) -> list[Overlap]:
    """Return the scenes that are known to be trained on, if files of these names exist."""
    known_set = test_set.known_set
    if not known_set or not known_set.trained_on:
        return []
    pattern = re.compile(known_set.trained_on)
    by_stem = {Path(image.place).stem: image for image in trained}
    scenes = {}
    for stem, image in by_stem.items():
        if pattern.fullmatch(stem):
            scenes[_scene(stem)] = image
    overlaps = []
    for image in _tested(test_set):
        stem = image.file.stem
        # The ground truth of these sets is named after the scene.
        if image.side == "gt" and stem in scenes:
            overlaps.append(_overlap(image, scenes[stem], "name", ""))
    return overlaps


def _scene(stem: str) -> str:
    """Return the scene of a file such as im_0350_s95_a06: im_0350."""
    parts = stem.split("_")
    return "_".join(parts[:2])
