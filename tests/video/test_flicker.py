"""The measure of flicker, and smoothing against it."""

from pathlib import Path

import numpy as np
import pytest

from wxr_plugin.video.flicker import FlickerMeter, FolderSmoother, Smoother


def _frames(levels: list[float]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    texture = rng.uniform(0.3, 0.5, (40, 60, 3))
    return [((texture + level) * 255).astype(np.uint8) for level in levels]


def _flicker(frames: list[np.ndarray]) -> float:
    meter = FlickerMeter()
    for frame in frames:
        meter.add(frame)
    return meter.flicker


def test_steady_light_and_a_slow_fade_do_not_flicker():
    assert _flicker(_frames([0.1] * 6)) == 0
    assert _flicker(_frames([0.02 * t for t in range(8)])) < 0.6


def test_alternating_light_flickers_by_four_times_its_amplitude():
    # L goes +a, -a, +a: the second difference is 4a; a = 0.05 of 255 levels.
    frames = _frames([0.1 + 0.05 * (-1) ** t for t in range(8)])
    assert _flicker(frames) == pytest.approx(4 * 0.05 * 255, rel=0.02)


def test_depth_does_not_change_the_measure():
    frames = _frames([0.1 + 0.05 * (-1) ** t for t in range(8)])
    deep = [frame.astype(np.uint16) * 257 for frame in frames]
    assert _flicker(deep) == pytest.approx(_flicker(frames), rel=1e-3)


def test_meter_resumes_exactly():
    frames = _frames([0.1, 0.15, 0.1, 0.2, 0.1, 0.12])
    first, second = FlickerMeter(), FlickerMeter()
    for frame in frames[:4]:
        first.add(frame)
    second.resume(first.state())
    for frame in frames[4:]:
        second.add(frame)
    assert second.flicker == _flicker(frames)


def test_smoothing_removes_the_networks_flicker_and_keeps_that_of_the_source():
    source = _frames([0.0] * 12)
    restored = _frames([0.1 + 0.05 * (-1) ** t for t in range(12)])
    smoother = Smoother(0.9)
    smoothed = [smoother.smooth(*pair) for pair in zip(source, restored)]
    assert _flicker(smoothed) < 0.25 * _flicker(restored)
    # A network that changes nothing leaves the source as it is.
    alternating = _frames([0.1 + 0.03 * (-1) ** t for t in range(12)])
    smoother = Smoother(0.9)
    same = [smoother.smooth(frame, frame) for frame in alternating]
    assert _flicker(same) == pytest.approx(_flicker(alternating), rel=0.05)


def test_new_scene_starts_again():
    smoother = Smoother(0.9)
    smoother.smooth(_frames([0.0])[0], _frames([0.3])[0])
    before, after = _frames([0.2])[0], _frames([0.2])[0]
    assert abs(smoother.smooth(before, after).astype(int) - after).max() <= 1


def test_no_smoothing_returns_the_frame_itself():
    frame = _frames([0.1])[0]
    assert Smoother(0.0).smooth(frame, frame) is frame


def test_each_folder_is_smoothed_as_a_video_of_its_own():
    before = _frames([0.1] * 4)
    after = _frames([0.1, 0.15, 0.1, 0.15])
    alone, folders = Smoother(0.5), FolderSmoother(0.5)
    for number, (frame, restored) in enumerate(zip(before, after)):
        smoothed = folders.smooth(Path("a") / f"{number}.png", frame, restored)
        assert np.array_equal(smoothed, alone.smooth(frame, restored))
        # Frames of another video in between change nothing.
        folders.smooth(Path("b") / f"{number}.png", frame, frame)
