"""Photos that are the frames of a video: their order, their size, and the file that is a video itself."""

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
UNPACK = "write a video's frames into a folder first, say with: ffmpeg -i VIDEO FOLDER/%06d.png"


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Paths in the order in which a person counts: 2.png before 10.png."""
    return sorted(paths, key=_numbers)


def refuse_video(path: Path) -> None:
    """Raise WxrError for the file of a video."""
    if path.is_file() and path.suffix.lower() in VIDEOS:
        raise WxrError(f"{path} is a video, not a photo; {UNPACK}")


def check_sizes(frames: Iterable[Path]) -> None:
    """Raise WxrError where frames of one folder differ in size: noise of two sizes is not the same noise.

    Reads headers alone. What cannot be read is passed over.
    """
    from wxr_plugin.data.images.io import image_size

    first: dict[Path, tuple[Path, tuple[int, int]]] = {}
    for frame in frames:
        size = image_size(frame)
        known, wanted = first.setdefault(frame.parent, (frame, size)) if size else (frame, size)
        if size != wanted:
            shown = [
                f"{path.name} has {width}x{height}"
                for path, (width, height) in ((known, wanted), (frame, size))
            ]
            raise WxrError(
                f"{frame.parent}: {' and '.join(shown)} pixels, but the frames of a video have one "
                f"size; give each "
                "video a folder of its own, or leave --frames out"
            )


def _numbers(path: Path) -> list[list[str | int]]:
    """Of each part of the path the texts and, between them, the numbers."""
    parts = (re.split(r"(\d+)", part) for part in path.parts)
    return [[int(text) if place % 2 else text for place, text in enumerate(part)] for part in parts]
