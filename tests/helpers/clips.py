"""Small videos for tests, written with PyAV."""

from fractions import Fraction
from pathlib import Path

import numpy as np

TICK = Fraction(1, 600)
"""Unit of the frames' times in seconds."""


def write_clip(
    path: Path,
    count: int = 12,
    size: tuple[int, int] = (48, 64),
    variable: bool = False,
    sound: str = "aac",
    pixel_format: str = "yuv420p",
    rotation: int = 0,
    aspect: Fraction | None = None,
) -> Path:
    """Write moving blocks at 30 frames a second, tagged BT.709, with a tone; return `path`.

    `variable` shows every third frame three times as long; `sound` is a codec, or empty for none;
    `rotation`, in degrees, is the mark that a phone held upright writes; `aspect` is the width of a
    pixel over its height.
    """
    import av

    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30, options={"crf": "8"})
        video.height, video.width = size
        video.pix_fmt = pixel_format
        video.codec_context.time_base = TICK
        video.codec_context.colorspace = video.codec_context.color_primaries = 1
        video.codec_context.color_trc = 1
        if rotation:
            video.set_display_rotation(rotation)
        if aspect:
            video.codec_context.sample_aspect_ratio = aspect
        audio = container.add_stream(sound, rate=48000) if sound else None
        time = 0
        for number in range(count):
            pixels = _blocks(size, number).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame = frame.reformat(format=pixel_format, dst_colorspace=1)
            frame.pts, frame.time_base = time, TICK
            container.mux(video.encode(frame))
            time += 60 if variable and number % 3 == 0 else 20
        container.mux(video.encode())
        if audio:
            _write_tone(container, audio, time)
    return path


def read_clip(path: Path) -> tuple[np.ndarray, list[float]]:
    """Return all frames as RGB (N, H, W, 3) by BT.709, and their times in seconds."""
    import av

    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    times = [float(frame.pts * frame.time_base) for frame in frames]
    pixels = [frame.to_ndarray(format="rgb24", src_colorspace=1) for frame in frames]
    return np.stack(pixels), times


def sound_packets(path: Path) -> list[bytes]:
    """Return the encoded packets of the first sound stream."""
    import av

    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def _blocks(size: tuple[int, int], number: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    small = rng.integers(40, 200, (-(-size[0] // 8), -(-size[1] // 8), 3))
    image = small.repeat(8, 0).repeat(8, 1)[: size[0], : size[1]]
    return np.roll(image, number, 1)


def _write_tone(container, stream, ticks: int) -> None:
    import av

    samples = (np.sin(np.arange(ticks * 80) / 20) * 8000).astype(np.int16)  # 48000 / 600 = 80
    for start in range(0, len(samples) - 960, 960):
        block = np.repeat(samples[None, start : start + 960], 1, 0)
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48000, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
