"""Photos that a user names: files, folders and the frames of a video, in natural order."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from wxr_plugin.data.images.io import HEAD, SUFFIXES, image_size, list_files, other_kind
from wxr_plugin.data.sharding import Shard, shard_keys
from wxr_plugin.errors import WxrError

VIDEOS = (
    ".mp4",
    ".mov",
    ".avi",
    ".mkv",
    ".webm",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".flv",
    ".ts",
    ".mts",
    ".y4m",
)
"""Suffixes of videos, in lower case."""
UNPACK = "write the frames of a video to a folder first: ffmpeg -i VIDEO FOLDER/%06d.png"


class Source(NamedTuple):
    """A photo, or a folder of photos."""

    root: Path
    """The folder, or that of the photo; photos are named relative to it."""
    photos: list[Path]
    """The photo, or those of the folder in natural order."""
    others: list[Path]
    """Files of the folder that are not photos."""


def read_source(path: Path, results: Path) -> Source:
    """List the photos at `path`, except `results` that lie below it.

    Args:
        path: a photo or a folder.
        results: the folder or file in which an earlier call may have left its results.

    Raises:
        WxrError: there is no such file or folder, it holds no photo, or it is a video or a
            document.
    """
    if not path.exists():
        raise WxrError(f"{path}: no such file or folder")
    if not path.is_dir():
        _refuse_other_file(path)
        return Source(path.parent, [path], [])
    files = list_files(path)
    below, root = _without_links(results), _without_links(path)
    # A folder that is its own results' keeps its photos: the plan of the results refuses it.
    if below != root and below.is_relative_to(root):
        files = [file for file in files if not _without_links(file).is_relative_to(below)]
    photos = [file for file in files if file.suffix.lower() in SUFFIXES]
    if not photos:
        raise WxrError(
            f"{path}: no images in this folder (looked for {', '.join(SUFFIXES)}); {UNPACK}"
        )
    others = [file for file in files if file.suffix.lower() not in SUFFIXES]
    return Source(path, in_order(photos), others)


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Return `paths` in natural order: 2.png before 10.png."""
    return sorted(paths, key=_numbers)


def in_shard(sources: Iterable[Source], shard: Shard) -> list[Source]:
    """Return the sources with the photos of `shard` only.

    A photo's key is its path below the root without the suffix, so photos whose results may clash
    are in one shard.
    """
    sources = list(sources)
    photos = {_key(source, photo): photo for source in sources for photo in source.photos}

    def pixels(key: str) -> int | None:
        size = image_size(photos[key])
        return size[0] * size[1] if size else None

    keys = shard_keys(photos, shard, pixels)
    chosen = []
    for source in sources:
        of_shard = [photo for photo in source.photos if _key(source, photo) in keys]
        chosen.append(source._replace(photos=of_shard))
    return chosen


def _key(source: Source, photo: Path) -> str:
    return photo.relative_to(source.root).with_suffix("").as_posix()


def check_sizes(frames: Iterable[Path]) -> None:
    """Raise WxrError if frames of one folder differ in size: they are not of one video.

    Only headers are read. Files that cannot be read are skipped.
    """
    first: dict[Path, tuple[Path, tuple[int, int]]] = {}
    for frame in frames:
        size = image_size(frame)
        if size is None:
            continue
        first_frame, first_size = first.setdefault(frame.parent, (frame, size))
        if size != first_size:
            sizes = [
                f"{path.name} has {width}x{height}"
                for path, (width, height) in ((first_frame, first_size), (frame, size))
            ]
            raise WxrError(
                f"{frame.parent}: {' and '.join(sizes)} pixels, but the frames of a video have one "
                "size; give each video a folder of its own, or leave out --frames and --smooth"
            )


def _refuse_other_file(path: Path) -> None:
    """Raise WxrError for a video, and for a file whose first bytes are not those of a photo."""
    if path.suffix.lower() in VIDEOS:
        raise WxrError(f"{path} is a video, not a photo; {UNPACK}")
    try:
        with path.open("rb") as file:
            kind = other_kind(file.read(HEAD))
    except OSError:
        return  # reading the photo reports it
    if kind:
        raise WxrError(f"{path}: {kind}")


def _without_links(path: Path) -> Path:
    # `Path.resolve` raises at a link to itself on Python 3.12 and older.
    return Path(os.path.realpath(path))


def _numbers(path: Path) -> list[list[str | int]]:
    """Return the texts and, between them, the numbers of each part of the path."""
    keys = []
    for part in path.parts:
        pieces: list[str | int] = list(re.split(r"(\d+)", part))
        pieces[1::2] = map(int, pieces[1::2])  # split gives text, digits, text, …
        keys.append(pieces)
    return keys
