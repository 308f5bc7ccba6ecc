import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from wxr_plugin.data.weather.camera import jpeg, photographed
from wxr_plugin.data.weather.styles import Camera
from wxr_plugin.data.weather.synthesis import LUMA

PHOTO = astronaut()[100:164, 100:180].astype(np.float32) / 255
ALWAYS = Camera(share=1.0, noise=(0.02, 0.02), loss=(60.0, 60.0))


def rng(seed=0):
    return np.random.default_rng(seed)


def test_it_grows_with_the_severity_and_is_nothing_at_0():
    away = [np.abs(photographed(PHOTO, ALWAYS, s, rng()) - PHOTO).mean() for s in (0.0, 0.3, 1.0)]
    assert away[0] == 0 < away[1] < away[2]


def test_noise_has_the_deviation_that_was_asked_for():
    noise = Camera(share=1.0, noise=(0.03, 0.03), loss=(0.0, 0.0))
    grey = np.full((64, 64, 3), 0.5, np.float32)
    luma = photographed(grey, noise, 1.0, rng()) @ np.array(
        LUMA
    )  # JPEG blurs the colours even at quality 100
    assert luma.std() == pytest.approx(0.03 * np.linalg.norm(LUMA), rel=0.1)


def test_a_share_of_0_changes_nothing():
    never = Camera(share=0.0, noise=(0.1, 0.1), loss=(90.0, 90.0))
    assert np.array_equal(photographed(PHOTO, never, 1.0, rng()), PHOTO)


def test_jpeg_is_that_of_the_codec_and_its_blocks_start_where_asked():
    pixels = (PHOTO * 255).round().astype(np.uint8)
    _, code = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 30])
    expected = cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1] / np.float32(255)
    np.testing.assert_array_equal(jpeg(PHOTO, 30, np.array([0, 0])), expected)
    shifted = jpeg(PHOTO, 30, np.array([3, 5]))
    assert shifted.shape == PHOTO.shape and not np.array_equal(shifted, expected)
    _, code = cv2.imencode(".jpg", pixels[13:, 11:, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 30])
    inner = cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1] / np.float32(255)
    np.testing.assert_allclose(shifted[15:-4, 13:-4], inner[2:-4, 2:-4], atol=1 / 255)
