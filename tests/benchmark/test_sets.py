"""Known sets in small copies of their downloads, and folders of one's own."""

import re

import numpy as np
import pytest

from wxr_plugin.benchmark.options import SetOptions
from wxr_plugin.benchmark.sets import Photo, find_set, known_sets, spread, write_packaged
from wxr_plugin.data.images.io import write_image
from wxr_plugin.errors import WxrError

SNOW = [
    f"test/Snow100K-{size}/{side}/x_{n}.jpg"
    for size in "SL"
    for side in ("gt", "synthetic", "mask")
    for n in (1, 2)
]
SCENES = ("GOPR0384_11_00", "GOPR0385_11_00")
GOPRO = [
    f"{part}/{scene}/{side}/000001.png"
    for part in ("train", "test")
    for scene in SCENES
    for side in ("blur", "blur_gamma", "sharp")
]
FILES = {
    "rtts": ["RTTS/JPEGImages/AM_Bing_211.png", "RTTS/JPEGImages/YT_Google_1.png"],
    "realrain": ["RealRain/a/1.jpg", "RealRain/b/1.jpg"],
    "snow100k-realistic": ["realistic/winter_00001.jpg", "realistic/city_00002.jpg"],
    "outdoor-rain-test1": [
        *(f"test1/in/im_{name}.png" for name in ("0301_s80_a04", "0301_s85_a05", "0350_s95_a06")),
        *(f"test1/gt/im_{name}.png" for name in ("0301", "0350")),
    ],
    "raindrop-testa": [
        f"test_a/{name}.png"
        for name in ("data/0_rain", "data/10_rain", "gt/0_clean", "gt/10_clean")
    ],
    "snow100k-s": SNOW,
    "snow100k-l": SNOW,
    "rain100h": ["rain-001.png", "rain-002.png", "norain-001.png", "norain-002.png"],
    "lol": [
        f"{part}/{side}/{n}.png"
        for part, n in (("eval15", 1), ("eval15", 22), ("our485", 3))
        for side in ("low", "high")
    ],
    "gopro": GOPRO,
    "gopro-gamma": GOPRO,
    "reside-6k": [
        f"{part}/{side}/{n}.jpg"
        for part in ("train", "test")
        for side in ("hazy", "GT")
        for n in (1, 2)
    ],
}
PAIRS = {
    "rtts": {"AM_Bing_211": None, "YT_Google_1": None},
    "realrain": {"a/1": None, "b/1": None},
    "snow100k-realistic": {"winter_00001": None, "city_00002": None},
    "outdoor-rain-test1": {
        "im_0301_s80_a04": "gt/im_0301.png",
        "im_0301_s85_a05": "gt/im_0301.png",
        "im_0350_s95_a06": "gt/im_0350.png",
    },
    "raindrop-testa": {"0_rain": "gt/0_clean.png", "10_rain": "gt/10_clean.png"},
    "snow100k-s": {"x_1": "Snow100K-S/gt/x_1.jpg", "x_2": "Snow100K-S/gt/x_2.jpg"},
    "snow100k-l": {"x_1": "Snow100K-L/gt/x_1.jpg", "x_2": "Snow100K-L/gt/x_2.jpg"},
    "rain100h": {"rain-001": "/norain-001.png", "rain-002": "/norain-002.png"},
    "lol": {"1": "eval15/high/1.png", "22": "eval15/high/22.png"},
    "gopro": {f"{scene}/blur/000001": f"test/{scene}/sharp/000001.png" for scene in SCENES},
    "gopro-gamma": {
        f"{scene}/blur_gamma/000001": f"test/{scene}/sharp/000001.png" for scene in SCENES
    },
    "reside-6k": {"1": "test/GT/1.jpg", "2": "test/GT/2.jpg"},
}
COUNTS = {
    "rtts": 4322,
    "realrain": 2320,
    "snow100k-realistic": 1329,
    "outdoor-rain-test1": 750,
    "raindrop-testa": 58,
    "snow100k-s": 16611,
    "snow100k-l": 16801,
    "rain100h": 100,
    "lol": 15,
    "gopro": 1111,
    "gopro-gamma": 1111,
    "reside-6k": 1000,
}


def make(root, files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def test_counts_are_those_of_the_publications():
    assert {name: known_set.count for name, known_set in known_sets().items()} == COUNTS


@pytest.mark.parametrize("name", COUNTS)
def test_a_known_set_is_found_as_it_was_unpacked(tmp_path, name):
    make(tmp_path, FILES[name])
    test_set = find_set(name, SetOptions(root=str(tmp_path), count=len(PAIRS[name])), tmp_path)
    assert {photo.name for photo in test_set.photos} == set(PAIRS[name])
    for photo in test_set.photos:
        partner = PAIRS[name][photo.name]
        assert photo.lq.is_file() and (
            photo.gt is None if partner is None else str(photo.gt).endswith(partner)
        )
        assert photo.gt is None or photo.gt.is_file()
    assert test_set.title == known_sets()[name].title and test_set.has_gt == (
        PAIRS[name][test_set.photos[0].name] is not None
    )


def test_another_count_is_refused_and_told(tmp_path):
    make(tmp_path, FILES["rtts"])
    with pytest.raises(WxrError, match=r"2 photos in .*, published are 4322 .* set count: 2"):
        find_set("rtts", SetOptions(root=str(tmp_path)), tmp_path)
    assert (
        find_set("mine", SetOptions(set="rtts", root=str(tmp_path), count=2), tmp_path).whole == 2
    )


def test_what_is_missing_is_told(tmp_path):
    make(tmp_path, [file for file in FILES["raindrop-testa"] if "10_clean" not in file])
    with pytest.raises(WxrError, match="10_rain without ground truth"):
        find_set("raindrop-testa", SetOptions(root=str(tmp_path)), tmp_path)
    with pytest.raises(WxrError, match="did you mean raindrop-testa"):
        find_set("raindrop-test", SetOptions(root=str(tmp_path)), tmp_path)
    with pytest.raises(WxrError, match="no photos as LOL has them"):
        find_set("lol", SetOptions(root=str(tmp_path)), tmp_path)
    with pytest.raises(WxrError, match="no such folder"):
        find_set("lol", SetOptions(root=str(tmp_path / "nowhere")), tmp_path)


def test_two_copies_below_one_root_are_not_mixed(tmp_path):
    make(tmp_path, [f"{copy}/{file}" for copy in ("old", "new") for file in FILES["lol"]])
    with pytest.raises(WxrError, match=r"several folders \(new/, old/\); name one"):
        find_set("lol", SetOptions(root=str(tmp_path)), tmp_path)


def test_folders_of_ones_own(tmp_path):
    make(
        tmp_path,
        [
            "lq/a/input1.jpg",
            "lq/input2.png",
            "gt/a/norain1.png",
            "gt/norain2.png",
            "gt/norain3.png",
        ],
    )
    options = SetOptions(
        lq=str(tmp_path / "lq"),
        gt=str(tmp_path / "gt"),
        filename_tmpl="input{}",
        gt_tmpl="norain{}",
    )
    test_set = find_set("mine", options, tmp_path)
    assert {photo.name: photo.gt.relative_to(tmp_path).as_posix() for photo in test_set.photos} == {
        "a/input1": "gt/a/norain1.png",
        "input2": "gt/norain2.png",
    }
    with pytest.raises(
        WxrError, match=re.escape("no ground truth for a/input1, input2 (looked for a/input1)")
    ):
        find_set("mine", SetOptions(lq=str(tmp_path / "lq"), gt=str(tmp_path / "gt")), tmp_path)
    make(tmp_path, ["lq/input2.jpg"])
    with pytest.raises(WxrError, match="would both be 'input2'"):
        find_set("mine", SetOptions(lq=str(tmp_path / "lq")), tmp_path)


def test_a_limit_is_spread_evenly():
    photos = [Photo(str(n), None, None) for n in range(10)]
    assert [photo.name for photo in spread(photos, 3)] == ["0", "3", "6"]
    assert spread(photos, None) == spread(photos, 99) == photos


def test_packaged_photos_are_written_once(tmp_path):
    test_set = find_set("any", SetOptions(set="packaged"), tmp_path)
    assert len(test_set.photos) == 24 and not (tmp_path / "packaged").exists()
    write_packaged(tmp_path)
    assert all(photo.lq.is_file() and photo.gt.is_file() for photo in test_set.photos)
    write_image(test_set.photos[0].lq, np.zeros((4, 4, 3), np.uint8))
    before = test_set.photos[0].lq.stat().st_mtime_ns
    write_packaged(tmp_path)
    assert test_set.photos[0].lq.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "block, message",
    [
        ({}, "either root"),
        ({"root": "a", "lq": "b"}, "either root"),
        ({"root": "a", "gt": "b"}, "its own layout"),
        ({"lq": "a", "set": "lol"}, "remove one of lq and set"),
        ({"lq": "a", "filename_tmpl": "input"}, "needs one {}"),
        ({"set": "packaged", "root": "a"}, "need no folder"),
    ],
)
def test_keys_that_do_not_go_together(block, message):
    with pytest.raises(ValueError, match=message):
        SetOptions(**block)
