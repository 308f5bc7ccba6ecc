"""The wild degradation pipeline: kernels, stages, PSFs, and untouched global generators."""

import random

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from wxr_plugin.data.degradations import wild as wild_degradation
from wxr_plugin.data.degradations import wild_blur
from wxr_plugin.data.degradations.wild import wild_clean, wild_degrade
from wxr_plugin.data.degradations.wild_blur import (
    disk_kernel,
    filtered,
    line_kernel,
    random_kernel,
    wiener,
)
from wxr_plugin.data.degradations.wild_settings import WILD, WildOptions, load_psfs
from wxr_plugin.errors import WxrError

NONE = WildOptions()


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return astronaut()[40:168, 60:188].astype(np.float32) / 255


@pytest.fixture
def psfs(tmp_path) -> str:
    """Two PSFs: a shift by a pixel, and a colour one that moves red alone."""
    shift, colour = np.zeros((3, 3)), np.zeros((3, 3, 3))
    shift[1, 2] = 5
    colour[1, 1, 1:] = colour[0, 1, 0] = 2
    np.savez(tmp_path / "psf.npz", shift=shift, colour=colour)
    return str(tmp_path / "psf.npz")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_seed_decides_and_the_input_stays(photo):
    before = photo.copy()
    results = [wild_degrade(photo, rng(seed)) for seed in range(30)]
    assert np.array_equal(results[3], wild_degrade(photo, rng(3))) and np.array_equal(photo, before)
    away = [np.abs(result - photo).mean() for result in results]
    assert len(set(away)) == 30 and np.median(away) > 0.005


def test_results_are_pictures_of_8_bits(photo):
    for seed in range(10):
        result = wild_degrade(photo, rng(seed))
        levels = result * 255
        assert result.dtype == np.float32 and result.shape == photo.shape
        assert (
            np.allclose(levels, np.round(levels), atol=1e-3)
            and result.min() >= 0
            and result.max() <= 1
        )


def test_global_generators_are_left_alone(photo):
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.random()
    random.seed(1)
    np.random.seed(1)
    wild_degrade(photo, rng(0))
    assert (random.random(), np.random.random()) == expected


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (31, 17)])
def test_any_size(shape):
    image = rng().random((*shape, 3), dtype=np.float32)
    assert all(wild_degrade(image, rng(seed)).shape == image.shape for seed in range(8))


def test_each_stage_takes_its_steps_in_any_order(photo, monkeypatch):
    orders = set()
    names = ("blur", "resize", "resize_back", "noise", "jpeg")
    taken = []
    for name in names:
        monkeypatch.setattr(
            wild_degradation._Picture, name, lambda self, stage, name=name: taken.append(name)
        )
    for seed in range(200):
        taken.clear()
        wild_degrade(photo, rng(seed))
        assert sorted(taken[:4]) == ["blur", "jpeg", "noise", "resize"] and sorted(taken[4:6]) == [
            "blur",
            "noise",
        ]
        assert sorted(taken[6:]) == ["blur", "jpeg", "resize_back"]
        orders.add(tuple(taken))
    assert len(orders) > 80  # of 24 * 2 * 6


def test_probabilities_are_those_of_the_settings(photo, monkeypatch):
    calls = {"blurred": 0, "through_jpeg": 0, "resize": 0}

    def counted(name, function):
        def call(*args, **kwargs):
            calls[name] += 1
            return function(*args, **kwargs)

        return call

    for name in ("blurred", "through_jpeg"):
        monkeypatch.setattr(wild_degradation, name, counted(name, getattr(wild_degradation, name)))
    monkeypatch.setattr(wild_degradation.cv2, "resize", counted("resize", cv2.resize))
    small, runs = photo[:24, :24], 400
    for seed in range(runs):
        wild_degrade(small, rng(seed))
    assert calls["blurred"] / runs == pytest.approx(0.8 + 0.4 + 0.8, abs=0.12)
    assert calls["through_jpeg"] / runs == pytest.approx(0.4 + 0.4, abs=0.12)
    assert calls["resize"] / runs == pytest.approx(2 * WILD.resize, abs=0.15)


def test_one_clean_photo_in_ten_is_grey(photo):
    grey = sum(
        (wild_clean(photo, rng(seed)) == wild_clean(photo, rng(seed))[..., :1]).all()
        for seed in range(300)
    )
    assert 15 <= grey <= 48


def test_kernels_of_every_kind():
    assert sum(WILD.kernels.values()) == pytest.approx(1)
    for side in (5, 19):
        kernels = [random_kernel(side, (0.2, 2.2), rng(seed), NONE) for seed in range(120)]
        assert all(kernel.shape[0] == kernel.shape[1] <= side for kernel in kernels)
        assert all(
            kernel.sum() == pytest.approx(1, abs=1e-5) and kernel.min() >= 0 for kernel in kernels
        )


def test_a_disk_and_a_line():
    disk, line = disk_kernel(19, rng(1)), line_kernel(11, rng(1))
    assert (
        np.array_equal(disk, disk[::-1])
        and np.array_equal(disk, disk.T)
        and disk[9, 9] == disk.max()
    )
    assert np.allclose(line, line[::-1, ::-1], atol=1e-6) and 10 <= (line > 1e-3).sum() <= 40
    places = np.argwhere(line > 0.01)
    assert np.ptp(places, 0).max() >= 5


def test_camera_psfs_come_with_their_file_alone(psfs):
    assert len(load_psfs(psfs)) == 2 and all(
        np.allclose(psf.sum((0, 1)), 1) for psf in load_psfs(psfs)
    )
    with_file = [
        random_kernel(9, (0.2, 2.2), rng(seed), WildOptions(psf=psfs)) for seed in range(300)
    ]
    share = np.mean([kernel.shape == (3, 3, 3) for kernel in with_file])
    assert 0.005 < share < 0.08
    assert all(random_kernel(9, (0.2, 2.2), rng(seed), NONE).ndim == 2 for seed in range(300))


def test_a_colour_psf_moves_its_channel(psfs, photo):
    bgr = np.ascontiguousarray(photo[..., ::-1])
    moved = filtered(bgr, load_psfs(psfs)[1][..., ::-1])
    assert np.allclose(moved[..., :2], bgr[..., :2]) and np.allclose(
        moved[1:, :, 2], bgr[:-1, :, 2]
    )


def test_under_display_psfs_blur_where_nothing_else_did(psfs, photo):
    with_file = WildOptions(display_psf=psfs)
    changed = sum(
        not np.array_equal(wild_degrade(photo, rng(s), with_file), wild_degrade(photo, rng(s)))
        for s in range(60)
    )
    assert 3 <= changed <= 18


def test_wiener_undoes_a_blur_and_rings(photo):
    kernel = cv2.getGaussianKernel(7, 1.0) @ cv2.getGaussianKernel(7, 1.0).T
    kernel[0, 0] += 0.1  # not symmetric: a filter that were flipped would shift the picture
    kernel /= kernel.sum()
    blurry = filtered(photo, kernel)
    sharp = wiener(blurry, kernel, 0.006)
    errors = [np.abs(image - photo)[8:-8, 8:-8].mean() for image in (sharp, blurry)]
    assert errors[0] < 0.6 * errors[1] and sharp.shape == photo.shape


def test_a_sinc_filter_overshoots():
    step = np.zeros((64, 64, 3), np.float32)
    step[:, 32:] = 0.5
    settings = WILD.stages[2].blur
    peaks = [wild_blur.blurred(step, settings, rng(seed), NONE).max() for seed in range(20)]
    assert sum(peak > 0.51 for peak in peaks) >= 10


@pytest.mark.parametrize(
    "content", [b"nothing", {"a": np.zeros((3, 3))}, {"a": np.ones(3)}, {"a": -np.ones((3, 3))}]
)
def test_a_file_without_psfs_is_named(tmp_path, content):
    file = tmp_path / "bad.npz"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        np.savez(file, **content)
    with pytest.raises(WxrError, match=r"bad.npz: .*\(k, k, 3\)"):
        load_psfs(str(file))
