"""Writing videos: segments of encoded frames, and the file that joins them with the sound."""

import contextlib
import heapq
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.extras import imported
from wxr_plugin.video.reading import VideoInfo, conversion, video_stream

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

ENCODERS = {".webm": ("libvpx-vp9", {"crf": "24", "b": "0", "cpu-used": "4"})}
"""Encoder and its options for each suffix; DEFAULT for others."""
DEFAULT_ENCODER = ("libx264", {"crf": "16", "preset": "medium"})
"""A constant rate factor of 16 is close to lossless to the eye."""


class SegmentWriter:
    """Encodes some frames of a video into a file of its own.

    Segments have no B-frames, so that the packets of one follow those of the segment before in the
    order of their times. Times are those of the source.
    """

    def __init__(self, path: Path, info: VideoInfo, suffix: str):
        av = imported("av")
        self.info = info
        # NUT keeps any unit of time exactly; Matroska would round to milliseconds.
        self.container = av.open(str(path), "w", format="nut")
        self.stream = encoded_stream(self.container, info, suffix)

    def write(self, pixels: np.ndarray, time: int) -> None:
        """Encode one frame, RGB (H, W, 3) of uint8 or uint16."""
        self._mux(self.stream.encode(self._frame(pixels, time)))

    def close(self) -> None:
        """Write what the encoder still holds, and close the file."""
        self._mux(self.stream.encode())
        self.container.close()

    def _frame(self, pixels: np.ndarray, time: int) -> Any:
        av = imported("av")
        rgb = "rgb24" if pixels.dtype == np.uint8 else "rgb48le"
        matrix = conversion(self.info)["src_colorspace"]
        frame = av.VideoFrame.from_ndarray(pixels, format=rgb)
        frame = frame.reformat(format=self.stream.pix_fmt, dst_colorspace=matrix)
        frame.colorspace = matrix
        frame.pts, frame.time_base = time, self.info.time_base
        return frame

    def _mux(self, packets: Sequence[Any]) -> None:
        for packet in packets:
            self.container.mux(packet)


def encoded_stream(container: "OutputContainer", info: VideoInfo, suffix: str) -> Any:
    """Add a video stream to `container`, encoded as files named `suffix` are."""
    name, options = ENCODERS.get(suffix.lower(), DEFAULT_ENCODER)
    stream: Any = container.add_stream(name, rate=info.rate, options=options)
    stream.width, stream.height = info.width, info.height
    stream.pix_fmt = _pixel_format(info)
    context = stream.codec_context
    context.time_base = info.time_base
    context.max_b_frames = 0
    context.sample_aspect_ratio = info.aspect
    context.colorspace = conversion(info)["src_colorspace"]
    context.color_primaries = info.tags["color_primaries"]
    context.color_trc = info.tags["color_trc"]
    return stream


def _pixel_format(info: VideoInfo) -> str:
    """Return YUV 4:2:0, or 4:4:4 for odd sides, which 4:2:0 cannot hold in every encoder."""
    is_odd = info.width % 2 or info.height % 2
    return f"yuv{444 if is_odd else 420}p{'10le' if info.deep else ''}"


def join(
    segments: Sequence[Path], source: "InputContainer | None", output: Path, info: VideoInfo
) -> list[str]:
    """Write `output` from the segments and the other streams of `source`.

    Nothing is encoded again. Returns a line for each stream that the output's format cannot hold.
    """
    av = imported("av")
    dropped: list[str] = []
    with contextlib.ExitStack() as stack:
        parts = [stack.enter_context(av.open(str(path))) for path in segments]
        form = {".mkv": "matroska", ".m4v": "mp4"}.get(output.suffix.lower())
        container = stack.enter_context(av.open(str(output), "w", format=form))
        # The same encoder writes the same header as in the segments, and the rate besides.
        video = encoded_stream(container, info, output.suffix)
        copies = _copied_streams(source, container, dropped) if source else {}
        if source:
            container.metadata.update(source.metadata)
        packets = [_video_packets(parts, video)]
        if source and copies:
            packets.append(_copied_packets(source, copies))
        for _, packet in heapq.merge(*packets, key=lambda pair: pair[0]):
            container.mux(packet)
    return dropped


def _copied_streams(
    source: "InputContainer", container: "OutputContainer", dropped: list[str]
) -> dict[int, Any]:
    """Return source index -> new stream of all sound and subtitles that `container` can hold."""
    av = imported("av")
    copies = {}
    for stream in source.streams:
        if stream is video_stream(source) or stream.type not in ("audio", "subtitle"):
            continue
        supported = container.supported_codecs
        name = stream.codec_context.name if stream.codec_context else "unknown codec"
        codec = stream.codec_context.codec.canonical_name if stream.codec_context else name
        if codec not in supported and name not in supported:
            dropped.append(
                f"{stream.type} stream {stream.index} ({name}) has no place in this file"
            )
            continue
        try:
            copies[stream.index] = container.add_stream_from_template(stream)
        except (av.FFmpegError, ValueError) as error:
            dropped.append(f"{stream.type} stream {stream.index}: {error}")
            continue
        copies[stream.index].metadata.update(stream.metadata)
    return copies


def _video_packets(parts: Sequence[Any], stream: Any) -> Iterator[tuple[Fraction, Any]]:
    """Yield (seconds, packet) of all segments in their order."""
    for part in parts:
        for packet in part.demux(video=0):
            if packet.pts is None:  # the last one, which only empties a decoder
                continue
            # NUT leaves it open; without B-frames both are the same.
            packet.dts = packet.pts
            seconds = packet.dts * packet.time_base
            packet.stream = stream
            yield seconds, packet


def _copied_packets(
    source: "InputContainer", copies: dict[int, Any]
) -> Iterator[tuple[Fraction, Any]]:
    av = imported("av")
    source.seek(0)
    packets = source.demux([source.streams[index] for index in copies])
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):  # a cut file: the sound ends where the file does
            return
        # The last packet of a stream is empty; sound and subtitles are in the order of their times.
        time = packet.pts if packet.dts is None else packet.dts
        if time is None or not packet.size:
            continue
        seconds = time * packet.time_base
        packet.stream = copies[packet.stream.index]
        yield seconds, packet


def check_output(output: Path) -> None:
    """Raise WxrError unless the suffix of `output` is one that a video can be written to."""
    suffixes = (".mp4", ".mkv", ".mov", ".webm", ".m4v")
    if output.suffix.lower() not in suffixes:
        raise WxrError(
            f"-o {output}: the result of a video is a file named {', '.join(suffixes[:-1])} or "
            f"{suffixes[-1]}"
        )
