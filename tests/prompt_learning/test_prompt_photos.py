import numpy as np
import pytest
import torch
from small_clips import random_clip

from wxr_plugin.conditioning.prompts import PromptError
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.weather.synthesis import WEATHERS, add_weather
from wxr_plugin.prompt_learning.photos import SEVERITY, encode, list_photos, with_tone_of_weather


@pytest.fixture(scope="module")
def guide():
    return random_clip("random", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index in range(10):
        write_image(
            root / f"{index}.png", rng.integers(0, 256, (50 + index, 70, 3), dtype=np.uint8)
        )
    return root


def test_a_photo_is_held_out_with_all_its_synthetic_weathers(folder):
    photos = list_photos({}, str(folder))
    assert len(photos) == 40
    held_out = {
        weather: {p.key for p in photos if p.held_out and p.weather == weather}
        for weather in WEATHERS
    }
    assert len(held_out["clear"]) == 2
    assert all(keys == held_out["clear"] for keys in held_out.values())
    reseeded = {p.key for p in list_photos({}, str(folder), seed=1) if p.held_out}
    assert reseeded != held_out["clear"]


def test_folders_and_synthetic_weather_add_up(folder):
    photos = list_photos({"rain": str(folder)}, str(folder))
    assert sum(photo.weather == "rain" for photo in photos) == 20
    assert sum(photo.synthetic for photo in photos) == 40


def test_each_photo_is_encoded_whole_and_in_crops(folder, guide):
    photos = list_photos({}, str(folder))
    data = encode(photos, guide, crops=2, crop_size=32)
    assert data.features.shape == (120, 16) and not data.features.requires_grad
    torch.testing.assert_close(data.features.norm(dim=1), torch.ones(120))
    assert data.classes.bincount().tolist() == [30, 30, 30, 30]
    assert data.held_out.sum() == 24
    clear, rain = data.features[data.classes == 0], data.features[data.classes == 1]
    assert not torch.allclose(clear, rain)
    assert torch.equal(data.features, encode(photos, guide, crops=2, crop_size=32).features)


@pytest.mark.parametrize("seed", range(8))
def test_clear_photos_may_have_the_tone_of_weather(seed):
    """Each channel has the mean and the deviation of a copy with weather; the rows alternate."""
    image = np.full((40, 40, 3), (0.3, 0.5, 0.4), np.float32)
    image[::2] += 0.05
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(WEATHERS))
    weathered = add_weather(image, kind, rng.uniform(*SEVERITY), rng)
    toned = with_tone_of_weather(image, np.random.default_rng(seed))
    np.testing.assert_allclose(toned.mean((0, 1)), weathered.mean((0, 1)), atol=0.02)
    np.testing.assert_allclose(toned.std((0, 1)), weathered.std((0, 1)), atol=0.02)
    assert (toned[0] > toned[1]).all()


def test_matched_tones_change_the_clear_photos_alone(folder, guide):
    photos = list_photos({"clear": str(folder)}, str(folder))
    plain = encode(photos, guide, crops=0)
    toned = encode(photos, guide, crops=0, match_tone=True)
    differs = (plain.features - toned.features).abs().amax(1) > 1e-6
    synthetic = torch.tensor([photo.synthetic for photo in photos])
    assert not differs[~synthetic | (plain.classes > 0)].any()
    assert differs[synthetic & (plain.classes == 0)].any()


def test_a_crop_is_never_larger_than_the_photo(folder, guide):
    photos = list_photos({}, str(folder))[:2]
    assert encode(photos, guide, crops=1, crop_size=1000).features.shape == (4, 16)


def test_an_unreadable_photo_is_skipped_and_named(folder, guide, tmp_path):
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.png", np.zeros((40, 40, 3), np.uint8))
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    photos = list_photos({"rain": str(tmp_path)}, str(folder))
    data = encode([photo for photo in photos if not photo.synthetic], guide, crops=0)
    assert len(data.features) == 2
    assert len(data.bad) == 1 and "page.jpg" in data.bad[0]


def test_a_missing_class_an_empty_folder_and_a_single_photo_are_errors(folder, tmp_path):
    with pytest.raises(PromptError, match="'haze': give --haze FOLDER"):
        list_photos({"clear": str(folder), "rain": str(folder), "snow": str(folder)})
    with pytest.raises(
        PromptError, match=r"class 'rain' has too few photos: .*no images.*another --rain FOLDER"
    ):
        list_photos({"clear": str(folder), "rain": str(tmp_path)})
    write_image(tmp_path / "only.png", np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(PromptError, match=r"class 'rain' .*at least two"):
        list_photos({"rain": str(tmp_path)}, str(folder))
