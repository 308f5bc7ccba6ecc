"""Frames of a video: their order and size, and files that are videos themselves."""

import re
from collections.abc import Iterable
from pathlib import Path

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


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Return `paths` in natural order: 2.png before 10.png."""
    return sorted(paths, key=_numbers)


def refuse_video(path: Path) -> None:
    """Raise WxrError for the file of a video."""
    if path.is_file() and path.suffix.lower() in VIDEOS:
        raise WxrError(f"{path} is a video, not a photo; {UNPACK}")


def check_sizes(frames: Iterable[Path]) -> None:
    """Raise WxrError if frames of one folder differ in size, since their noise would differ.

    Only headers are read. Files that cannot be read are skipped.
    """
    from wxr_plugin.data.images.io import image_size

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
                "size; give each video a folder of its own, or leave --frames out"
            )


def _numbers(path: Path) -> list[list[str | int]]:
    """Return the texts and, between them, the numbers of each part of the path."""
    keys = []
    for part in path.parts:
        pieces: list[str | int] = list(re.split(r"(\d+)", part))
        pieces[1::2] = map(int, pieces[1::2])  # split gives text, digits, text, …
        keys.append(pieces)
    return keys
