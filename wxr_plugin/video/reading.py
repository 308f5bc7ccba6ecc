"""Reading videos: frames as RGB arrays with their times."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.extras import imported

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

SUFFIXES = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv")
"""Names of files that are taken for videos, in lower case."""
TAGS = ("colorspace", "color_primaries", "color_trc", "color_range")
"""Attributes of a frame that say how its colours are meant."""
DEPTH = 8
"""Bits of a channel up to which frames are restored as uint8; deeper ones as uint16."""


class Frame(msgspec.Struct):
    """One frame of a video."""

    pixels: np.ndarray
    """RGB (H, W, 3), uint8, or uint16 of a video of more than 8 bits; turned upright."""
    time: int
    """Presentation time in units of the video's `time_base`."""


class VideoInfo(msgspec.Struct):
    """What is known of a video before its frames are read."""

    width: int
    """Of the upright frames, in pixels; `height` likewise."""
    height: int
    time_base: Fraction
    """Unit of the frames' times in seconds."""
    rate: Fraction
    """Mean number of frames a second."""
    count: int
    """Number of frames; 0 if the file does not say and has no duration."""
    deep: bool
    """Whether a channel has more than 8 bits."""
    aspect: Fraction
    """Width of a pixel of the upright frames over its height."""
    duration: float
    """Of the whole file with its sound, in seconds; 0 if the file does not say."""
    tags: dict[str, int]
    """Values of TAGS."""


def is_video(path: Path) -> bool:
    """Return whether `path` is named like a video, or like a sequence of images (`%04d.png`)."""
    return path.suffix.lower() in SUFFIXES or is_sequence(path)


def is_sequence(path: Path) -> bool:
    """Return whether `path` is the pattern of a sequence of images, such as `frames/%04d.png`."""
    return "%" in path.name


def open_video(path: Path, rate: float | None = None) -> "InputContainer":
    """Open a video, or a sequence of images at `rate` frames a second.

    Raises:
        WxrError: there is no such file, it is no video, or it holds no pictures.
    """
    av = imported("av")
    if not is_sequence(path) and not path.is_file():
        raise WxrError(f"{path}: no such file" if not path.is_dir() else f"{path} is a folder")
    # "start_number_range": how far the number of the first image may be from 0.
    options = {"start_number_range": "100000"} if is_sequence(path) else {}
    if is_sequence(path) and rate:
        options["framerate"] = str(rate)
    form = "image2" if is_sequence(path) else None
    try:
        container = av.open(str(path), format=form, options=options)
    except (av.FFmpegError, ValueError) as error:
        raise WxrError(f"{path}: cannot be read as a video ({_reason(error)})") from error
    # The picture of an album's cover is a video stream too.
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        kinds = _kinds(container)
        container.close()
        raise WxrError(f"{path} holds no video, only {kinds}")
    return container


def video_stream(container: "InputContainer") -> Any:
    """Return the first video stream that is no cover."""
    return next(stream for stream in container.streams.video if not _is_cover(stream))


def video_info(container: "InputContainer", path: Path) -> VideoInfo:
    """Return what is known of the video; reads its first frame.

    Raises:
        WxrError: not one frame can be decoded.
    """
    av = imported("av")
    stream = video_stream(container)
    try:
        first = next(container.decode(stream), None)
    except av.FFmpegError as error:
        raise WxrError(f"{path}: its first frame cannot be decoded ({_reason(error)})") from error
    if first is None:
        raise WxrError(f"{path}: not one frame can be decoded; the file is cut or empty")
    container.seek(0)
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    width, height = first.width, first.height
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if first.rotation % 180:
        width, height, aspect = height, width, 1 / aspect
    return VideoInfo(
        width=width,
        height=height,
        time_base=stream.time_base,
        rate=rate,
        count=_count(stream, container, rate),
        aspect=aspect,
        deep=max(part.bits for part in first.format.components) > DEPTH,
        duration=(container.duration or 0) / 1_000_000,
        tags={name: int(getattr(first, name)) for name in TAGS},
    )


def read_frames(container: "InputContainer", info: VideoInfo) -> Iterator[Frame]:
    """Yield all frames from the start, with increasing times.

    Raises:
        WxrError: the file ends in the middle of a frame, or is damaged there.
    """
    av = imported("av")
    last = None
    try:
        for frame in container.decode(video_stream(container)):
            # A frame without a time follows the last one at the mean rate.
            step = max(round(1 / (info.rate * info.time_base)), 1)
            time = frame.pts if frame.pts is not None else (0 if last is None else last + step)
            if last is not None and time <= last:
                time = last + 1
            last = time
            yield Frame(to_rgb(frame, info), time)
    except av.FFmpegError as error:
        raise WxrError(f"the video is damaged there ({_reason(error)})") from error


def to_rgb(frame: "VideoFrame", info: VideoInfo) -> np.ndarray:
    """Return a decoded frame as RGB (H, W, 3), upright."""
    pixels = frame.to_ndarray(format="rgb48le" if info.deep else "rgb24", **conversion(info))
    # `rotation` is counterclockwise in degrees, as np.rot90 turns.
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4))


def conversion(info: VideoInfo) -> dict[str, int]:
    """Return the arguments of a conversion from the video's YUV to RGB.

    Where a video does not name its matrix, BT.709 is taken from 720 rows on and else BT.601, as
    players do.
    """
    matrix = info.tags["colorspace"]
    known = {1: 1, 5: 5, 6: 6, 7: 7, 9: 9}
    return {"src_colorspace": known.get(matrix, 1 if min(info.width, info.height) >= 720 else 5)}


def _count(stream: Any, container: "InputContainer", rate: Fraction) -> int:
    if stream.frames:
        return stream.frames
    if stream.duration:
        return round(stream.duration * stream.time_base * rate)
    # The container's duration is in microseconds.
    return round(container.duration * rate / 1_000_000) if container.duration else 0


def _is_cover(stream: Any) -> bool:
    return "attached_pic" in str(getattr(stream, "disposition", "")).lower()


def _kinds(container: "InputContainer") -> str:
    return " and ".join(sorted({stream.type for stream in container.streams})) or "nothing"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
