import logging

import numpy as np
import pytest

from wxr_plugin.data.crops import Box, fixed_boxes
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.lmdb.build import build
from wxr_plugin.data.real_photos import RealPhotos, crop_key, split_key
from wxr_plugin.data.real_weather_dataset import RealWeatherDataset
from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.errors import OptionError, WxrError


@pytest.fixture
def real(tmp_path):
    for number, name in enumerate(
        ("rain/a.jpg", "rain/deep/ä b.png", "haze/c.v2.png", "snow/d.jpg", "e@1,2.png")
    ):
        write_image(tmp_path / "real" / name, np.full((40, 50, 3), 20 * number, np.uint8))
    return tmp_path / "real"


def dataset(dataroot):
    opt = {
        "name": "real",
        "type": "RealWeatherDataset",
        "phase": "train",
        "gt_size": 16,
        "boxes_per_image": 3,
    }
    return RealWeatherDataset(opt | {"dataroot": dataroot})


def test_a_folder_its_lmdb_and_a_root_for_each_weather_give_one_naming(real, tmp_path):
    build(real, tmp_path / "real.lmdb", progress=False)
    single = RealPhotos(real)
    lmdb = RealPhotos(tmp_path / "real.lmdb")
    several = RealPhotos({weather: real / weather for weather in ("rain", "haze", "snow")})
    assert sorted(single.keys()) == lmdb.keys() == sorted([*several.keys(), "e@1,2"])
    assert several.keys()[:2] == ["rain/a", "rain/deep/%C3%A4 b"]
    names = several.keys()
    assert all(WEATHERS[single.weather(key)] == key.partition("/")[0] for key in names)
    assert single.weather("e@1,2") == -1
    for key in names:
        assert np.array_equal(several.read(key), single.read(key))
        assert single.encoded(key) == lmdb.encoded(key)
        assert several.path(key) == single.path(key)


@pytest.mark.parametrize("several", [False, True])
def test_training_crops_are_named_as_labelling_names_them(real, several):
    roots = {weather: str(real / weather) for weather in ("rain", "snow")} if several else str(real)
    photos, data = RealPhotos(roots), dataset(roots)
    assert [photo.key for photo in photos.photos] == data.names
    sizes = {photo.key: photos.read(photo.key).shape[:2] for photo in photos.photos}
    named = {
        crop_key(key, box) for key, size in sizes.items() for box in fixed_boxes(key, *size, 16, 3)
    }
    seen = {data.draw(index, np.random.default_rng(index))["key"] for index in range(60)}
    assert seen <= named and {split_key(key)[0] for key in seen} == set(sizes)


def test_names_of_crops_come_apart_again_and_names_of_photos_stay_whole():
    box = Box(3, 0, 19, 16)
    assert split_key(crop_key("rain/e@1,2", box)) == ("rain/e@1,2", box)
    assert split_key("rain/e@1,2") == ("rain/e@1,2", None)


def test_a_class_without_photos_is_named(real, tmp_path, caplog):
    (tmp_path / "none").mkdir()
    with pytest.raises(WxrError, match=r"haze photos: .*none: no images in it"):
        RealPhotos({"rain": real / "rain", "haze": tmp_path / "none"})
    with pytest.raises(WxrError, match="unknown weather 'fog'"):
        RealPhotos({"fog": real})
    with pytest.raises(WxrError, match="no photos"):
        RealPhotos({})
    (real / "clear").mkdir()
    assert RealPhotos(real).empty == [str(real / "clear")]
    with caplog.at_level(logging.WARNING, "basicsr"):
        logging.getLogger("basicsr").addHandler(caplog.handler)
        dataset(str(real))
    assert "clear: no images in it" in caplog.text


def test_an_io_backend_of_the_other_kind_is_still_refused(real):
    with pytest.raises(OptionError, match="rain photos: io_backend is lmdb"):
        dataset_opt = {
            "name": "real",
            "type": "RealWeatherDataset",
            "phase": "val",
            "io_backend": {"type": "lmdb"},
        }
        RealWeatherDataset(dataset_opt | {"dataroot": {"rain": str(real / "rain")}})
