"""The ten synthetic degradations: ranges, seeds, published constants and effects on pictures."""

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from wxr_plugin.data.degradations.apply import SYNTHESIS, degrade, severity_range
from wxr_plugin.data.degradations.light import linear
from wxr_plugin.data.degradations.masks import missing_mask
from wxr_plugin.data.degradations.motion import path_kernel, random_path
from wxr_plugin.data.degradations.styles import Missing, Motion, Styles
from wxr_plugin.data.degradations.words import DEGRADATIONS, PUBLISHED
from wxr_plugin.data.weather.synthesis import add_weather

GREY = np.full((128, 128, 3), 0.5, np.float32)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return astronaut()[40:168, 60:220].astype(np.float32) / 255


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def degraded(photo, name, severity=1.0, seed=0, **more):
    return degrade(photo, name, severity, rng(seed), **more)


def test_the_ten_words_are_those_of_the_benchmark_and_all_can_be_drawn():
    assert len(DEGRADATIONS) == 10 and list(SYNTHESIS) == list(DEGRADATIONS)
    assert sum(entry.train for entry in PUBLISHED.values()) == 52801
    assert sum(entry.test for entry in PUBLISHED.values()) == 3490


@pytest.mark.parametrize("name", DEGRADATIONS)
class TestEach:
    def test_the_seed_decides(self, photo, name):
        first = degraded(photo, name, 0.7, seed=3)
        assert np.array_equal(first, degraded(photo, name, 0.7, seed=3))
        assert name == "jpeg-compressed" or not np.allclose(
            first, degraded(photo, name, 0.7, seed=4), atol=0.02
        )

    def test_type_range_and_input_untouched(self, photo, name):
        before = photo.copy()
        result = degraded(photo, name)
        assert result.dtype == np.float32 and result.shape == photo.shape
        assert result.min() >= 0 and result.max() <= 1 and not np.shares_memory(result, photo)
        assert np.array_equal(photo, before)

    def test_severity_zero_is_a_copy(self, photo, name):
        result = degraded(photo, name, 0.0)
        assert np.array_equal(result, photo) and result is not photo

    def test_severity_is_monotone(self, photo, name):
        steps = (0.0, 0.25, 0.5, 1.0)
        away = [
            np.mean([np.abs(degraded(photo, name, s, i) - photo).mean() for i in range(6)])
            for s in steps
        ]
        assert np.all(np.diff(away) > 0.001), away

    @pytest.mark.parametrize("shape", [(1, 1), (1, 9), (33, 2), (37, 51)])
    def test_any_size(self, name, shape):
        image = rng().random((*shape, 3), dtype=np.float32)
        result = degraded(image, name, 0.8)
        assert result.shape == image.shape and np.isfinite(result).all()

    def test_the_range_of_training(self, name):
        low, high = severity_range(name)
        assert 0 < low <= high <= 1 and (name not in ("noisy", "jpeg-compressed") or low == 1)


def test_noise_has_sigma_50_and_is_truncated_to_8_bits():
    levels = degraded(GREY, "noisy") * 255
    assert np.allclose(levels, np.round(levels), atol=1e-3)
    assert levels.std() == pytest.approx(50, rel=0.03)
    plain = GREY + np.float32(50 / 255) * rng().standard_normal(GREY.shape, dtype=np.float32)
    assert np.array_equal(np.round(levels), np.floor(np.clip(plain, 0, 1) * np.float32(255)))


def test_jpeg_has_quality_10(photo):
    bgr = np.uint8(photo[..., ::-1] * 255 + 0.5)
    expected = cv2.imdecode(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 10])[1], 1)[
        ..., ::-1
    ]
    assert np.array_equal(np.round(degraded(photo, "jpeg-compressed") * 255), expected)


@pytest.mark.parametrize(("name", "kind"), [("hazy", "haze"), ("rainy", "rain"), ("snowy", "snow")])
def test_weather_is_that_of_the_package(photo, name, kind):
    assert np.array_equal(degraded(photo, name, 0.6, 5), add_weather(photo, kind, 0.6, rng(5)))
    shifted = degraded(photo, name, 0.6, 5, styles=Styles(weather="shifted"))
    assert np.array_equal(shifted, add_weather(photo, kind, 0.6, rng(5), "shifted"))


def test_low_light_takes_the_stops_it_says(photo):
    bright = np.full((64, 64, 3), 0.9, np.float32)
    styles = Styles()
    results = [
        linear(degraded(bright, "low-light", seed=i)).mean() / linear(bright).mean()
        for i in range(40)
    ]
    low, high = (2.0**-stops for stops in reversed(styles.low_light.stops))
    assert low * 0.8 < min(results) < max(results) < high * 1.2
    assert degraded(bright, "low-light").std() > 1e-3, "few photons are noisy"


def test_motion_blur_is_linear_in_light_and_keeps_it():
    point = np.zeros((65, 65, 3), np.float32)
    point[32, 32] = 1
    light = linear(degraded(point, "motion-blurry", seed=2))
    assert light.sum() == pytest.approx(3, rel=1e-3) and (light[..., 0] > 0.001).sum() > 8


@pytest.mark.parametrize("seed", range(5))
def test_a_path_of_a_camera(seed):
    path = random_path(Motion(), rng(seed)) * 20
    assert np.linalg.norm(np.diff(path, axis=0), axis=1).sum() == pytest.approx(20, rel=0.02)
    kernel = path_kernel(path)
    assert kernel.sum() == pytest.approx(1) and kernel.shape[0] % 2 == 1 and kernel.min() >= 0
    middle = (np.indices(kernel.shape) * kernel).sum((1, 2))
    assert np.allclose(middle, kernel.shape[0] // 2, atol=0.01)


def test_a_camera_that_stands_still_blurs_nothing():
    kernel = path_kernel(np.zeros((10, 2)))
    assert kernel.max() == 1 and kernel.sum() == 1


def test_a_shadow_has_a_core_and_a_soft_edge_and_leaves_the_rest():
    ratios = [linear(degraded(GREY, "shadowed", seed=i)) / linear(GREY) for i in range(12)]
    assert min(ratio.min() for ratio in ratios) < 0.3
    assert all(ratio.min() > 0.08 and ratio.max() <= 1.0001 for ratio in ratios)
    assert all(((ratio > 0.5) & (ratio < 0.95)).any() for ratio in ratios)
    dark = [ratio.reshape(-1, 3)[ratio.mean(2).argmin()] for ratio in ratios]
    assert all(red <= blue for red, _, blue in dark), "the sky's light is bluer"


def test_drops_show_the_scene_upside_down():
    scene = np.zeros((200, 200, 3), np.float32)
    scene[:100] = 1
    change = np.mean([degraded(scene, "raindrop", seed=i) - scene for i in range(8)], 0)
    assert change[60:95].mean() < -0.02 and change[105:140].mean() > 0.02


def test_more_severity_adds_drops_and_moves_none(photo):
    few, many = (
        np.abs(degraded(photo, "raindrop", s, 4) - photo).max(2) > 0.02 for s in (0.3, 1.0)
    )
    assert few.sum() < many.sum() and (few & ~many).sum() < 0.2 * few.sum()


def test_the_missing_part_is_flat_and_the_rest_is_unchanged(photo):
    for seed in range(8):
        result = degraded(photo, "uncompleted", seed=seed)
        changed = (result != photo).any(2)
        assert 0.1 < changed.mean() < 0.75
        assert len(np.unique(result[changed])) == 1 and np.unique(result[changed])[0] in (0, 1)


def test_a_mask_covers_its_share_and_grows_with_severity():
    masks = [
        missing_mask((100, 140), s, Missing(cover=(0.3, 0.3)), rng(1)) for s in (0.2, 0.6, 1.0)
    ]
    assert all(mask.mean() >= 0.3 * s for mask, s in zip(masks, (0.2, 0.6, 1.0)))
    assert not (masks[0] & ~masks[1]).any() and not (masks[1] & ~masks[2]).any()


def test_larger_pictures_get_a_longer_blur():
    lengths = []
    for side in (400, 1600):
        point = np.zeros((side, side, 3), np.float32)
        point[side // 2, side // 2] = 1
        lengths.append((linear(degraded(point, "motion-blurry", seed=1))[..., 1] > 1e-5).sum())
    assert lengths[1] > 3 * lengths[0]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"image": np.zeros((4, 4, 3), np.uint8)}, TypeError, "float32"),
        ({"image": np.zeros((4, 4), np.float32)}, ValueError, r"\(H, W, 3\)"),
        (
            {"name": "haze"},
            ValueError,
            "unknown degradation 'haze': take one of motion-blurry, hazy",
        ),
        ({"severity": 1.5}, ValueError, "severity"),
    ],
)
def test_other_arguments_are_refused(changes, error, message):
    given = {"image": GREY, "name": "noisy", "severity": 0.5} | changes
    with pytest.raises(error, match=message):
        degrade(**given, rng=rng())
