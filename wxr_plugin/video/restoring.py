"""Restoring a video: frame by frame, in segments from which a stopped run resumes."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import write_text
from wxr_plugin.video.flicker import Change, FlickerMeter, Smoother
from wxr_plugin.video.reading import (
    Frame,
    VideoInfo,
    is_sequence,
    open_video,
    read_frames,
    video_info,
)
from wxr_plugin.video.writing import SegmentWriter, join

SEGMENT = 50
"""Frames of a segment: what a stopped run loses at most."""
PARTS = ".parts"
"""Suffix of the folder of finished segments, next to the result."""


class VideoSettings(msgspec.Struct):
    """How a video is restored."""

    network: str
    """Name of the weights and settings; another one does not resume this run."""
    smooth: float = 0.0
    """Smoothing of the network's global changes over time, in [0, 1)."""
    rate: float | None = None
    """Frames a second of a sequence of images."""
    segment: int = SEGMENT


class VideoResult(msgspec.Struct):
    """Outcome of restoring a video."""

    frames: int
    flicker_before: float
    """Of the source and of the result, in levels of 255; see FlickerMeter."""
    flicker_after: float
    notes: list[str]
    """What is not as in the source, a line each."""
    complete: bool = True
    """Whether the source could be read to its end."""


GAP = 0.25
"""Seconds by which the sound of a whole file may outlast the last frame without a note."""


class _State(msgspec.Struct):
    """What the next segment needs of those before it."""

    frames: int = 0
    meters: list[dict[str, Any]] = []
    change: Change | None = None


def restore_video(
    source: Path,
    output: Path,
    restore: Callable[[np.ndarray], np.ndarray],
    settings: VideoSettings,
    on_frame: Callable[[int, int], None] | None = None,
) -> VideoResult:
    """Restore `source` into `output`, which appears when it is complete.

    Finished segments lie in a folder next to `output` until then, and the same call resumes after
    them with the same result. `restore` maps RGB (H, W, 3), uint8 or uint16, to the same size;
    `on_frame(done, total)` is called after each frame.

    Raises:
        WxrError: the source is no video; or the folder holds segments of other settings.
    """
    folder = output.with_name(output.name + PARTS)
    with open_video(source, settings.rate) as container:
        info = video_info(container, source)
        state = _resumed(folder, source, settings)
        run = _Run(folder, info, settings, state, output.suffix)
        reader = _Reader(read_frames(container, info))
        for frame in reader:
            if reader.count <= state.frames:
                continue
            run.add(frame, restore(frame.pixels))
            if on_frame:
                on_frame(run.state.frames, info.count)
        run.finish()
    if not run.segments:
        raise WxrError(f"{source}: {reader.error or 'it holds no frames'}; nothing was restored")
    notes = _ending(reader, info)
    notes += _joined(source, output, info, run.segments)
    before, after = run.meters
    shutil.rmtree(folder)
    return VideoResult(
        run.state.frames, before.flicker, after.flicker, notes, complete=not reader.error
    )


def _ending(reader: "_Reader", info: VideoInfo) -> list[str]:
    """Return a line if the frames end before the file does."""
    if reader.error:
        return [f"ends after {reader.count} frames: {reader.error}"]
    end = float(reader.last_time * info.time_base + 1 / info.rate)
    if info.duration - end > GAP:
        return [f"its pictures end at {end:.1f} of {info.duration:.1f} s; the file may be cut"]
    return []


class _Reader:
    """Iterates over frames; keeps the error of a damaged file instead of raising it."""

    def __init__(self, frames: Iterator[Frame]):
        self.frames, self.count, self.error = frames, 0, ""
        self.last_time = 0

    def __iter__(self) -> Iterator[Frame]:
        try:
            for frame in self.frames:
                self.count += 1
                self.last_time = frame.time
                yield frame
        except WxrError as error:
            self.error = str(error)


class _Run:
    """Segments of one video: writes them and the state after each."""

    def __init__(
        self, folder: Path, info: VideoInfo, settings: VideoSettings, state: _State, suffix: str
    ):
        self.folder, self.info, self.settings, self.state = folder, info, settings, state
        self.suffix = suffix
        self.segments = [_segment(folder, number) for number in range(_count(folder))]
        self.meters = (FlickerMeter(), FlickerMeter())
        self.smoother = Smoother(settings.smooth)
        for meter, values in zip(self.meters, state.meters):
            meter.resume(values)
        self.smoother.change = state.change
        self.writer: SegmentWriter | None = None
        self.written = 0

    def add(self, frame: Frame, restored: np.ndarray) -> None:
        """Write the next restored frame."""
        restored = self.smoother.smooth(frame.pixels, restored)
        for meter, pixels in zip(self.meters, (frame.pixels, restored)):
            meter.add(pixels)
        if self.writer is None:
            self.writer = SegmentWriter(self._unfinished, self.info, self.suffix)
        self.writer.write(restored, frame.time)
        self.state.frames += 1
        self.written += 1
        if self.written == self.settings.segment:
            self.finish()

    def finish(self) -> None:
        """Close the current segment; from now on a stopped run resumes after it."""
        if self.writer is None:
            return
        self.writer.close()
        self.writer, self.written = None, 0
        number = len(self.segments)
        self.state.meters = [meter.state() for meter in self.meters]
        self.state.change = self.smoother.change
        state = msgspec.json.encode(self.state).decode()
        write_text(_state_file(self.folder, number), state)
        # The segment counts from here on; its state has to be there before.
        self._unfinished.replace(_segment(self.folder, number))
        self.segments.append(_segment(self.folder, number))

    @property
    def _unfinished(self) -> Path:
        return self.folder / "unfinished.nut"


def _resumed(folder: Path, source: Path, settings: VideoSettings) -> _State:
    """Return the state after the finished segments; create the folder if there is none."""
    plan = folder / "plan.json"
    ours = msgspec.json.encode({"source": _digest(source), "settings": settings}).decode()
    if plan.is_file() and plan.read_text(encoding="utf-8") != ours:
        raise WxrError(
            f"{folder} holds parts of another run (another source, network or setting); delete "
            "the folder, or choose another name with -o"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(plan, ours)
    count = _count(folder)
    if not count:
        return _State()
    return msgspec.json.decode(_state_file(folder, count - 1).read_bytes(), type=_State)


def _digest(source: Path) -> str:
    """Return a text that changes with the source: sizes and times of its files."""
    files = sorted(source.parent.glob("*")) if is_sequence(source) else [source]
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _count(folder: Path) -> int:
    """Return the number of finished segments."""
    count = 0
    while _segment(folder, count).is_file():
        count += 1
    return count


def _segment(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.nut"


def _state_file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.json"


def _joined(source: Path, output: Path, info: VideoInfo, segments: list[Path]) -> list[str]:
    """Write `output` atomically; return a line for each stream that is left out."""
    unfinished = output.with_name(f".{output.stem}.unfinished{output.suffix}")
    try:
        if is_sequence(source):
            notes = join(segments, None, unfinished, info)
        else:
            with open_video(source) as container:
                notes = join(segments, container, unfinished, info)
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)
    return notes
