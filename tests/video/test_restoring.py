"""Restoring videos: times, colours, sound, resume, and damaged files."""

from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("av")

from clips import read_clip, sound_packets, write_clip

from wxr_plugin.errors import WxrError
from wxr_plugin.video.restoring import PARTS, VideoSettings, restore_video

SETTINGS = VideoSettings("none", segment=5)


def _same(pixels: np.ndarray) -> np.ndarray:
    return pixels


def _brighter(pixels: np.ndarray) -> np.ndarray:
    return pixels + np.array(20, pixels.dtype)


class _Stop(Exception):
    """Stands for a run that is killed."""


def _stopping(after: int):
    calls = 0

    def restore(pixels: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls > after:
            raise _Stop
        return _brighter(pixels)

    return restore


@pytest.mark.parametrize("variable", [False, True])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_frames_keep_their_times_and_sound_is_copied(tmp_path, suffix, variable):
    source = write_clip(tmp_path / "clip.mkv", variable=variable)
    result = restore_video(source, tmp_path / f"out{suffix}", _same, SETTINGS)
    assert result.frames == 12 and not result.notes
    before, times_before = read_clip(source)
    after, times_after = read_clip(tmp_path / f"out{suffix}")
    gaps = np.diff(times_after) - np.diff(times_before)
    assert abs(gaps).max() < 2e-3
    assert abs(before.astype(int) - after).mean() < 3
    assert sound_packets(tmp_path / f"out{suffix}") == sound_packets(source)
    assert not (tmp_path / f"out{suffix}{PARTS}").exists()


def test_colour_tags_are_kept(tmp_path):
    import av

    source = write_clip(tmp_path / "clip.mp4")
    restore_video(source, tmp_path / "out.mp4", _same, SETTINGS)
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert container.streams.video[0].average_rate == 30
    assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1)


def test_each_frame_goes_through_the_network(tmp_path):
    source = write_clip(tmp_path / "clip.mp4", sound="")
    restore_video(source, tmp_path / "out.mp4", _brighter, SETTINGS)
    before, after = read_clip(source)[0], read_clip(tmp_path / "out.mp4")[0]
    assert abs((after.astype(int) - before).mean((1, 2, 3)) - 20).max() < 2


@pytest.mark.parametrize("after", [0, 3, 7, 11])
def test_stopped_run_resumes_with_the_same_bytes(tmp_path, after):
    source = write_clip(tmp_path / "clip.mp4")
    settings = VideoSettings("none", smooth=0.5, segment=5)
    restore_video(source, tmp_path / "whole.mp4", _brighter, settings)
    with pytest.raises(_Stop):
        restore_video(source, tmp_path / "out.mp4", _stopping(after), settings)
    assert not (tmp_path / "out.mp4").exists()
    calls = []
    result = restore_video(
        source, tmp_path / "out.mp4", lambda x: (calls.append(1), _brighter(x))[1], settings
    )
    assert len(calls) == 12 - after // 5 * 5
    assert result.frames == 12
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_parts_of_another_network_are_not_mixed_in(tmp_path):
    source = write_clip(tmp_path / "clip.mp4")
    with pytest.raises(_Stop):
        restore_video(source, tmp_path / "out.mp4", _stopping(7), SETTINGS)
    with pytest.raises(WxrError, match="parts of another run"):
        restore_video(source, tmp_path / "out.mp4", _same, VideoSettings("other", segment=5))
    assert (tmp_path / f"out.mp4{PARTS}" / "000000.nut").is_file()


def test_deep_video_reaches_the_network_with_16_bits(tmp_path):
    source = write_clip(tmp_path / "clip.mkv", pixel_format="yuv420p10le", sound="")
    kinds = set()
    restore_video(source, tmp_path / "out.mkv", lambda x: (kinds.add(x.dtype), x)[1], SETTINGS)
    assert kinds == {np.dtype(np.uint16)}
    difference = read_clip(source)[0].astype(int) - read_clip(tmp_path / "out.mkv")[0]
    assert abs(difference).mean() < 6
    assert abs(difference.mean((0, 1, 2))).max() < 0.5


def _with_subtitles(clip, path):
    """Copy `clip` to `path` with two lines of subtitles."""
    import av

    text = "1\n00:00:00,000 --> 00:00:00,100\nRain\n\n2\n00:00:00,200 --> 00:00:00,300\nSun\n"
    path.with_suffix(".srt").write_text(text)
    sources = [av.open(str(clip)), av.open(str(path.with_suffix(".srt")))]
    with av.open(str(path), "w") as container:
        streams = [container.add_stream_from_template(source.streams[0]) for source in sources]
        for source, stream in zip(sources, streams):
            for packet in source.demux(source.streams[0]):
                if packet.size:
                    packet.stream = stream
                    container.mux(packet)


def _subtitles(path) -> list[bytes]:
    import av

    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(subtitles=0) if packet.size]


def test_subtitles_are_copied_where_the_format_holds_them(tmp_path):
    source = tmp_path / "talk.mkv"
    _with_subtitles(write_clip(tmp_path / "clip.mkv", sound=""), source)
    restored = restore_video(source, tmp_path / "out.mkv", _same, SETTINGS)
    assert not restored.notes
    assert _subtitles(tmp_path / "out.mkv") == _subtitles(source) == [b"Rain", b"Sun"]
    restored = restore_video(source, tmp_path / "out.mp4", _same, SETTINGS)
    assert "subtitle" in restored.notes[0]


def test_turned_video_is_written_upright(tmp_path):
    import av

    source = write_clip(tmp_path / "clip.mp4", rotation=90, sound="")
    shapes = set()
    restore_video(source, tmp_path / "out.mp4", lambda x: (shapes.add(x.shape), x)[1], SETTINGS)
    assert shapes == {(64, 48, 3)}
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 0
    # Positive degrees turn counterclockwise, as np.rot90 does.
    upright = np.rot90(read_clip(source)[0], 1, (1, 2))
    assert abs(upright.astype(int) - read_clip(tmp_path / "out.mp4")[0]).mean() < 6


def test_shape_of_the_pixels_is_kept(tmp_path):
    import av

    source = write_clip(tmp_path / "clip.mp4", aspect=Fraction(4, 3), sound="")
    restore_video(source, tmp_path / "out.mp4", _same, SETTINGS)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_odd_sides(tmp_path):
    source = write_clip(tmp_path / "clip.mkv", size=(47, 63), pixel_format="yuv444p", sound="")
    restore_video(source, tmp_path / "out.mp4", _same, SETTINGS)
    assert read_clip(tmp_path / "out.mp4")[0].shape == (12, 47, 63, 3)


def test_webm_without_room_for_the_sound_says_so(tmp_path):
    source = write_clip(tmp_path / "clip.mp4")
    result = restore_video(source, tmp_path / "out.webm", _same, SETTINGS)
    assert "aac" in result.notes[0]
    assert len(read_clip(tmp_path / "out.webm")[0]) == 12


def test_sequence_of_images(tmp_path):
    from PIL import Image

    frames = read_clip(write_clip(tmp_path / "clip.mp4", sound=""))[0]
    for number, frame in enumerate(frames, 7):
        Image.fromarray(frame).save(tmp_path / f"{number:04d}.png")
    settings = VideoSettings("none", rate=10)
    restore_video(tmp_path / "%04d.png", tmp_path / "out.mp4", _same, settings)
    after, times = read_clip(tmp_path / "out.mp4")
    assert len(after) == 12 and times[1] == pytest.approx(0.1)
    assert abs(frames.astype(int) - after).mean() < 6


def test_cut_file_is_restored_up_to_the_cut(tmp_path):
    source = write_clip(tmp_path / "clip.mkv", count=40, size=(96, 128), sound="")
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 2 // 3])
    result = restore_video(source, tmp_path / "out.mkv", _same, SETTINGS)
    assert 5 < result.frames < 40
    assert len(read_clip(tmp_path / "out.mkv")[0]) == result.frames
    assert "may be cut" in result.notes[0]


@pytest.mark.parametrize("content", [b"", b"no video at all"])
def test_file_that_is_no_video(tmp_path, content):
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(WxrError, match=r"clip\.mp4: cannot be read as a video"):
        restore_video(tmp_path / "clip.mp4", tmp_path / "out.mp4", _same, SETTINGS)
    assert not (tmp_path / "out.mp4.parts").exists()


def test_sound_alone_is_no_video(tmp_path):
    import av

    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        silence = np.zeros((1, 960), np.int16)
        for start in range(0, 9600, 960):
            frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 48000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(WxrError, match="holds no video, only audio"):
        restore_video(tmp_path / "clip.mp4", tmp_path / "out.mp4", _same, SETTINGS)
