"""Datasets through BasicSR's builders: items, balance, determinism, and a quota of bad files."""

import logging
from collections import Counter
from copy import deepcopy
from pathlib import Path

import basicsr.data
import basicsr.train
import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.train import create_train_val_dataloader
from basicsr.utils import get_root_logger

from wxr_plugin.data.choice import ClassIndex
from wxr_plugin.data.crops import Box, Turn, crop, fixed_boxes
from wxr_plugin.data.images.io import read_image, write_image
from wxr_plugin.data.lmdb.build import build
from wxr_plugin.data.pairs import partner
from wxr_plugin.data.weather.synthesis import KINDS, WEATHERS, add_weather
from wxr_plugin.errors import OptionError, WxrError
from wxr_plugin.options import files as option_files

SIZE = (48, 64)


def picture(seed: int, height: int = SIZE[0], width: int = SIZE[1]) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(
        0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8
    )
    return cv2.resize(noise, (width, height))


def folder(root: Path, names, first_seed: int = 0) -> Path:
    for seed, name in enumerate(names, first_seed):
        write_image(root / name, picture(seed))
    return root


@pytest.fixture
def clean(tmp_path) -> Path:
    return folder(tmp_path / "clean", [f"{number}.png" for number in range(8)])


@pytest.fixture
def real(tmp_path) -> dict[str, str]:
    sizes = {"rain": 5, "haze": 2, "snow": 1}
    return {
        kind: str(
            folder(tmp_path / "real" / kind, [f"{number}.jpg" for number in range(count)], 50)
        )
        for kind, count in sizes.items()
    }


def synthetic(clean: Path, **options) -> dict:
    opt = {
        "name": "syn",
        "type": "PairedWeatherDataset",
        "phase": "train",
        "dataroot_gt": str(clean),
        "gt_size": 32,
    }
    return opt | {"synthetic": {"severity": [0.2, 0.9]}} | options


def dataset(opt: dict):
    return basicsr.data.build_dataset(opt)


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def loader(train: dict, workers: int, seed: int = 3, batch: int = 4, enlarge: int = 1):
    """Return the loader and the sampler that train_pipeline builds from an option file."""
    train = {
        "num_worker_per_gpu": workers,
        "batch_size_per_gpu": batch,
        "dataset_enlarge_ratio": enlarge,
    } | train
    opt = {"datasets": {"train": train}, "world_size": 1, "rank": 0, "num_gpu": 0, "dist": False}
    opt |= {"manual_seed": seed, "train": {"total_iter": 100}}
    return create_train_val_dataloader(opt, get_root_logger())[:2]


def epoch(train: dict, workers: int, number: int = 0, **settings) -> list[dict]:
    batches, sampler = loader(train, workers, **settings)
    sampler.set_epoch(number)
    return list(batches)


def same(first: list[dict], second: list[dict]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a[key], b[key]) if torch.is_tensor(a[key]) else a[key] == b[key]
        for a, b in zip(first, second)
        for key in a
    )


def test_synthetic_items_have_the_promised_form(clean):
    item = dataset(synthetic(clean)).draw(3, rng(1))
    assert item["lq"].shape == item["gt"].shape == (3, 32, 32) and item["lq"].dtype == torch.float32
    assert (
        item["lq"].min() >= 0 and item["lq"].max() <= 1 and not torch.equal(item["lq"], item["gt"])
    )
    assert WEATHERS[item["weather"]] in KINDS and 0.2 <= item["severity"] <= 0.9
    assert item["lq_path"] == item["gt_path"] == str(clean / "3.png")


def test_a_sample_depends_on_the_generator_alone(clean):
    fresh = dataset(synthetic(clean, use_rot=True))
    used = dataset(synthetic(clean, use_rot=True))
    used.draw(0, rng(9))
    assert same([fresh.draw(2, rng(5))], [used.draw(2, rng(5))])
    assert not torch.equal(fresh.draw(2, rng(5))["gt"], fresh.draw(2, rng(6))["gt"])


def test_the_crop_is_part_of_the_photo_before_the_weather(clean):
    item = dataset(synthetic(clean, use_hflip=False)).draw(0, rng(2))
    photo = read_image(clean / "0.png")
    part = np.round(item["gt"].numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(photo, part.shape)
    assert (windows == part).all((2, 3, 4, 5)).any()


def test_kinds_come_equally_often(clean):
    train = dataset(synthetic(clean))
    drawn = Counter(WEATHERS[train.draw(0, rng(i))["weather"]] for i in range(300))
    assert set(drawn) == set(KINDS) and min(drawn.values()) > 75


def test_clear_weather_changes_nothing(clean):
    item = dataset(synthetic(clean, synthetic={"kinds": ["clear"]})).draw(0, rng(1))
    assert torch.equal(item["lq"], item["gt"]) and item["weather"] == 0 and item["severity"] == 0


def test_weather_is_drawn_on_a_larger_crop_than_the_item(clean):
    block = {"kinds": ["haze"], "severity": [0.8, 0.8]}
    opt = synthetic(clean, use_hflip=False, synthetic=block | {"drawn_on": 48})
    items = [dataset(opt).draw(0, rng(seed)) for seed in range(8)]
    assert {item["lq"].shape for item in items} == {(3, 32, 32)}
    assert all(item["gt"].shape == item["lq"].shape for item in items)
    # The crop of the clear photo is the same place as that of the hazy one: haze keeps the order of
    # bright and dark pixels within a small area.
    for item in items:
        lq, gt = (item[name].mean(0).flatten() for name in ("lq", "gt"))
        assert np.corrcoef(lq, gt)[0, 1] > 0.5
    equal = dataset(opt | {"synthetic": block | {"drawn_on": 32}}).draw(0, rng(1))
    plain = dataset(opt | {"synthetic": block}).draw(0, rng(1))
    assert torch.equal(equal["lq"], plain["lq"])


def test_of_several_styles_one_is_drawn_for_every_picture(clean):
    block = {"kinds": ["haze"], "severity": [0.9, 0.9]}
    several = dataset(synthetic(clean, synthetic=block | {"style": ["default", "shifted"]}))
    drawn = Counter(several.options.synthetic.draw_style(rng(seed)) for seed in range(100))
    assert set(drawn) == {"default", "shifted"} and min(drawn.values()) > 30
    warmth = [
        (item["lq"][0] - item["lq"][2]).mean().item()
        for item in (several.draw(0, rng(i)) for i in range(40))
    ]
    usual = dataset(synthetic(clean, synthetic=block | {"style": ["default"]}))
    assert torch.equal(
        usual.draw(0, rng(1))["lq"],
        dataset(synthetic(clean, synthetic=block)).draw(0, rng(1))["lq"],
    )
    assert max(warmth) - min(warmth) > 0.05
    with pytest.raises(ValueError, match="unknown style 'odd'"):
        dataset(synthetic(clean, synthetic=block | {"style": ["default", "odd"]}))
    with pytest.raises(ValueError, match="empty list"):
        dataset(synthetic(clean, synthetic=block | {"style": []}))


def test_validation_items_are_whole_and_always_the_same(clean):
    val = dataset(synthetic(clean, phase="val"))
    first = [val[index] for index in range(len(val))]
    assert same(first, [val[index] for index in range(len(val))])
    assert first[0]["gt"].shape == (3, *SIZE)
    assert [WEATHERS[item["weather"]] for item in first[:4]] == ["rain", "haze", "snow", "rain"]


def test_given_pairs_are_cut_alike_from_folder_and_lmdb(clean, tmp_path):
    for file in clean.iterdir():
        write_image(tmp_path / "lq" / f"{file.stem}_rain.bmp", 255 - read_image(file))
    opt = synthetic(
        clean,
        synthetic=None,
        dataroot_lq=str(tmp_path / "lq"),
        filename_tmpl="{}_rain",
        weather="rain",
    )
    item = dataset(opt).draw(1, rng(4))
    assert torch.allclose(item["lq"], 1 - item["gt"], atol=1e-6) and item["lq_path"].endswith(
        "1_rain.bmp"
    )
    assert (item["weather"], item["severity"]) == (WEATHERS.index("rain"), -1.0)
    for name, source in (("gt", clean), ("lq", tmp_path / "lq")):
        build(source, tmp_path / f"{name}.lmdb", progress=False)
    opt |= {"dataroot_gt": str(tmp_path / "gt.lmdb"), "dataroot_lq": str(tmp_path / "lq.lmdb")}
    from_lmdb = dataset(opt | {"io_backend": {"type": "lmdb"}}).draw(1, rng(4))
    assert torch.equal(from_lmdb["lq"], item["lq"]) and from_lmdb["gt_path"] == str(
        tmp_path / "gt.lmdb" / "1"
    )


def test_pairs_in_folders_named_after_weathers_are_balanced(tmp_path):
    names = ["rain/a.png", "rain/b.png", "rain/c.png", "haze/a.png"]
    roots = {f"dataroot_{kind}": str(folder(tmp_path / kind, names)) for kind in ("gt", "lq")}
    opt = synthetic(tmp_path, synthetic=None, **roots)
    train = dataset(opt)
    drawn = Counter(train.draw(index, rng(0))["weather"] for index in range(len(train)))
    assert drawn == {WEATHERS.index("rain"): 3, WEATHERS.index("haze"): 3}
    assert len(dataset(opt | {"phase": "val"})) == 4


def test_indices_take_turns_over_the_classes():
    balanced = ClassIndex([1, 1, 1, 2, 3, 3], balanced=True)
    assert [balanced[index] for index in range(len(balanced))] == [0, 3, 4, 1, 3, 5, 2, 3, 4]
    plain = ClassIndex([1, 1, 2], balanced=False)
    assert [plain[index] for index in range(len(plain))] == [0, 1, 2]


def test_photos_smaller_than_the_crop_are_filled_up_by_reflection(tmp_path):
    write_image(tmp_path / "small" / "s.png", picture(1, 20, 40))
    gt = dataset(synthetic(tmp_path / "small", use_hflip=False)).draw(0, rng(1))["gt"]
    assert gt.shape == (3, 32, 32) and torch.equal(gt[:, 20:], gt[:, 7:19].flip(1))
    assert crop(picture(2, 1, 3), Box(0, 0, 3, 1), 32).shape == (32, 32, 3)


def test_turns_are_those_of_basicsr():
    image = picture(1, 16, 24)
    assert np.array_equal(Turn(True, False, False).apply(image), cv2.flip(image, 1))
    assert np.array_equal(Turn(False, True, True).apply(image), image[::-1].transpose(1, 0, 2))
    turns = Counter(Turn.draw(rng(i), True, True) for i in range(400))
    assert len(turns) == 8 and min(turns.values()) > 20
    assert {Turn.draw(rng(i), True, False) for i in range(20)} == {Turn(False), Turn(True)}
    assert {Turn.draw(rng(i), False, False) for i in range(20)} == {Turn()}


def test_depth_maps_steer_the_haze(clean, tmp_path):
    near_left = np.tile(np.linspace(0, 65535, SIZE[1]), (SIZE[0], 1)).astype(np.uint16)
    (tmp_path / "depth").mkdir()
    for file in clean.iterdir():
        cv2.imwrite(str(tmp_path / "depth" / file.name), near_left)
    opt = synthetic(clean, phase="val", synthetic={"kinds": ["haze"], "severity": [0.7, 0.7]})
    item = dataset(opt | {"dataroot_depth": str(tmp_path / "depth")})[0]
    expected_rng = np.random.default_rng((20240, 0))
    expected_rng.uniform(0.7, 0.7)
    clear = read_image(clean / "0.png").astype(np.float32) / np.float32(255)
    expected = add_weather(
        clear, "haze", 0.7, expected_rng, "default", near_left / np.float32(65535)
    )
    assert np.array_equal(item["lq"].numpy(), expected.transpose(2, 0, 1))
    change = (item["lq"] - item["gt"]).abs().mean((0, 1))
    assert change[-16:].mean() > 1.3 * change[:16].mean()
    (tmp_path / "depth" / "3.png").unlink()
    with pytest.raises(OptionError, match="lacks 1 depth maps, such as 3"):
        dataset(opt | {"dataroot_depth": str(tmp_path / "depth")})


def real_options(real, **options) -> dict:
    opt = {
        "name": "real",
        "type": "RealWeatherDataset",
        "phase": "train",
        "dataroot": real,
        "gt_size": 32,
    }
    return opt | options


def test_real_photos_come_by_class_equally_often(real):
    train = dataset(real_options(real))
    assert len(train) == 15
    drawn = Counter(WEATHERS[train.draw(index, rng(index))["weather"]] for index in range(15))
    assert drawn == {"rain": 5, "haze": 5, "snow": 5}
    whole = dataset(real_options(real, phase="val"))
    assert len(whole) == 8 and whole[0]["lq"].shape == (3, *SIZE) and whole[0]["key"] == "rain/0"


def test_one_folder_of_real_photos_tells_the_weather_by_sub_folder_or_not_at_all(real, tmp_path):
    val = dataset(real_options(str(tmp_path / "real"), phase="val"))
    assert Counter(WEATHERS[val[index]["weather"]] for index in range(8)) == {
        "rain": 5,
        "haze": 2,
        "snow": 1,
    }
    assert dataset(real_options(real["rain"], phase="val"))[0]["weather"] == -1


def test_real_crops_come_from_fixed_boxes_and_are_not_turned(real):
    train = dataset(real_options(real, boxes_per_image=3))
    items = [train.draw(0, rng(i)) for i in range(40)]
    assert len({item["key"] for item in items}) == 3
    photo = read_image(Path(real["rain"]) / "0.jpg")
    for item in items:
        name, _, box = item["key"].partition("@")
        left, top, right, bottom = map(int, box.split(","))
        assert name == "rain/0" and item["lq_path"].endswith("rain/0.jpg")
        expected = photo[top:bottom, left:right].transpose(2, 0, 1) / np.float32(255)
        assert np.array_equal(item["lq"].numpy(), expected)


def test_boxes_depend_on_name_and_crop_size_and_grow_in_number_without_moving():
    boxes = fixed_boxes("rain/a", 100, 200, 64, 4)
    assert boxes == fixed_boxes("rain/a", 100, 200, 64, 6)[:4]
    assert boxes != fixed_boxes("rain/b", 100, 200, 64, 4) and boxes != fixed_boxes(
        "rain/a", 100, 200, 60, 4
    )
    assert fixed_boxes("x", 40, 200, 64, 1)[0][1::2] == (0, 40)
    assert str(Box(1, 2, 3, 4)) == "1,2,3,4"


@pytest.mark.parametrize("is_lmdb", [False, True], ids=["folder", "lmdb"])
def test_real_crops_come_with_their_surroundings(real, tmp_path, is_lmdb):
    """Crops of 20 pixels and 30 around them, so that every frame is cut at the photo's borders."""
    root = real["rain"]
    if is_lmdb:
        root = str(tmp_path / "rain.lmdb")
        build(real["rain"], root, progress=False)
    train = dataset(real_options(root, gt_size=20, context=30))
    bare = dataset(real_options(root, gt_size=20))
    for seed in range(6):
        item = train.draw(seed, rng(seed))
        name, _, sides = item["context_key"].partition("@")
        outer = Box(*map(int, sides.split(",")))
        box = Box(*map(int, item["key"].partition("@")[2].split(",")))
        assert outer == box.grown(30, *SIZE)
        photo = read_image(Path(real["rain"]) / f"{name}.jpg")
        picture = item["context"].permute(1, 2, 0).numpy()
        height, width = outer.bottom - outer.top, outer.right - outer.left
        assert picture.shape == (80, 80, 3) and picture.dtype == np.uint8
        np.testing.assert_array_equal(
            picture[:height, :width], photo[outer.top : outer.bottom, outer.left : outer.right]
        )
        assert not picture[height:].any() and not picture[:, width:].any()
        assert {key: str(value) for key, value in bare.draw(seed, rng(seed)).items()} == {
            key: str(value) for key, value in item.items() if not key.startswith("context")
        }


def test_crops_of_real_photos_are_not_turned_in_their_surroundings(clean, real):
    """Pairs are mirrored and turned; the key of a real crop is all that says where it lies."""
    opt = semi(clean, real)
    opt["paired"] |= {"use_hflip": True, "use_rot": True}
    opt["real"] |= {"gt_size": 16, "context": 5}
    train = dataset(opt)
    for seed in range(8):
        item = train.draw(0, rng(seed))
        outer = Box(*map(int, item["real_context_key"].partition("@")[2].split(",")))
        box = Box(*map(int, item["real_key"].partition("@")[2].split(",")))
        left, top, right, bottom = box.relative_to(outer)
        inside = item["real_context"][:, top:bottom, left:right].float() / 255
        torch.testing.assert_close(inside, item["real"])


def semi(clean, real, **options) -> dict:
    opt = {
        "name": "semi",
        "type": "SemiSupervisedDataset",
        "phase": "train",
        "gt_size": 32,
        "paired": {},
        "real": {},
    }
    opt["paired"] = {"dataroot_gt": str(clean), "synthetic": {"severity": [0.2, 0.9]}}
    opt["real"] = {"dataroot": real, "boxes_per_image": 2}
    return deepcopy(opt) | options


def test_semi_supervised_items_carry_both_streams(clean, real):
    opt = semi(clean, real)
    opt["real"]["gt_size"] = 24
    train = dataset(opt)
    item = train.draw(1, rng(1))
    assert set(item) == {
        *("lq", "gt", "lq_path", "gt_path", "weather", "severity"),
        *("real", "real_key", "real_path", "real_weather"),
    }
    assert item["lq"].shape == (3, 32, 32) and item["real"].shape == (3, 24, 24)
    drawn = Counter(WEATHERS[train.draw(0, rng(i))["real_weather"]] for i in range(150))
    assert min(drawn[kind] for kind in KINDS) > 30


@pytest.mark.parametrize("workers", [0, 2])
def test_basicsr_drives_two_epochs_and_workers_do_not_matter(clean, real, workers):
    """Two epochs of train_pipeline's loaders differ, and each is the same with 0 or 2 workers."""
    opt = semi(clean, real)
    epochs = [epoch(opt, workers, number, enlarge=2) for number in (0, 1)]
    assert all(
        len(batches) == 4 and batches[0]["real"].shape == (4, 3, 32, 32) for batches in epochs
    )
    assert not same(*epochs)
    assert same(epochs[1], epoch(opt, 1, 1, enlarge=2)) and not same(
        epochs[1], epoch(opt, 1, 1, enlarge=2, seed=4)
    )


def test_lmdbs_serve_workers_and_the_main_process_at_once(clean, real, tmp_path):
    build(clean, tmp_path / "clean.lmdb", progress=False)
    opt = semi(tmp_path / "clean.lmdb", real)
    dataset(opt).draw(0, rng(0))
    assert same(epoch(opt, 2), epoch(opt, 0))


def test_workers_inherit_no_threads_of_opencv(clean):
    """A worker that is forked while OpenCV has a pool of threads may wait for it forever."""
    cv2.setNumThreads(4)
    dataset(synthetic(clean))
    assert cv2.getNumThreads() == 1


def test_cached_folders_give_the_same_samples(clean, real):
    opt = semi(clean, real)
    cached = deepcopy(opt)
    cached["paired"]["cache"] = cached["real"]["cache"] = True
    assert same(epoch(opt, 0), epoch(cached, 2))


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.fixture
def log():
    handler = Lines()
    get_root_logger().addHandler(handler)
    yield handler.lines
    get_root_logger().removeHandler(handler)


BAD = {"0.png": b"", "3.png": b"<!DOCTYPE html>", "5.png": None}


def spoil(clean: Path) -> None:
    for name, content in BAD.items():
        (clean / name).write_bytes(
            (clean / name).read_bytes()[:-200] if content is None else content
        )


def test_bad_files_are_named_once_and_replaced(clean, log):
    spoil(clean)
    batches = epoch(synthetic(clean), 0, enlarge=6)
    paths = Counter(path for batch in batches for path in batch["gt_path"])
    assert (
        sum(paths.values()) == 48
        and len(paths) == 5
        and not any(path.endswith(tuple(BAD)) for path in paths)
    )
    named = [line for line in log if line.startswith("left out")]
    assert len(named) == 3 and {name for name in BAD for line in named if name in line} == set(BAD)


def test_bad_files_change_no_sample_whoever_meets_them_first(clean, real):
    spoil(clean)
    opt = semi(clean, real)
    assert same(epoch(opt, 0, enlarge=4), epoch(opt, 2, enlarge=4))


@pytest.mark.parametrize("workers", [0, 2])
def test_too_many_bad_files_end_the_training_with_their_names(clean, workers):
    spoil(clean)
    with pytest.raises(
        WxrError,
        match=r"(?s)3 images cannot be used, more than max_bad: 2 allows.*0\.png.*3\.png.*5",
    ):
        epoch(synthetic(clean, max_bad=2), workers, enlarge=20)


def test_the_quota_counts_over_all_workers(clean):
    """Each of two workers meets some bad files only; together they meet too many."""
    spoil(clean)
    train = dataset(synthetic(clean, max_bad=2, num_worker_per_gpu=2))
    order = [0, 1, 3, 2, 4, 5, 6, 7]  # worker 0 gets places 0, 2, 4, 6
    batches = torch.utils.data.DataLoader(train, 1, sampler=order + order, num_workers=2)
    with pytest.raises(WxrError, match="3 images cannot be used"):
        for _ in batches:
            pass


def test_a_set_without_a_single_good_file_ends_at_once(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(WxrError, match="2 images cannot be used, all there are"):
        dataset(synthetic(tmp_path)).draw(0, rng(0))


def test_pairs_of_two_sizes_are_bad(clean, tmp_path):
    folder(tmp_path / "lq", [file.name for file in clean.iterdir()])
    write_image(tmp_path / "lq" / "2.png", picture(1, 20, 20))
    opt = synthetic(clean, synthetic=None, dataroot_lq=str(tmp_path / "lq"), max_bad=0)
    with pytest.raises(WxrError, match=r"(?s)1 images.*2\.png"):
        dataset(opt).draw(2, rng(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"synthetic": None}, "either dataroot_lq or synthetic"),
        ({"dataroot_lq": "."}, "either dataroot_lq or synthetic"),
        ({"synthetic": {"severity": [0.9, 0.1]}}, "swap the two"),
        ({"synthetic": {"drawn_on": 8}}, "8 px, is smaller than gt_size, 32 px"),
        ({"weather": "rain"}, "take weather out"),
        ({"gt_size": None}, "training needs gt_size"),
        ({"scale": 4}, "set scale: 1"),
        ({"mean": [0.5, 0.5, 0.5]}, "take mean out"),
        ({"io_backend": {"type": "lmdb"}}, "io_backend is lmdb"),
        ({"synthetic": None, "dataroot_lq": ".", "dataroot_depth": "."}, "take it out"),
    ],
)
def test_options_that_contradict_are_refused(clean, change, message):
    with pytest.raises(OptionError, match=message):
        dataset(synthetic(clean) | change)


def test_images_without_a_partner_are_named(clean, tmp_path):
    folder(tmp_path / "lq", ["0.png", "1.png", "other.png"])
    opt = synthetic(clean, synthetic=None, dataroot_lq=str(tmp_path / "lq"))
    with pytest.raises(
        OptionError, match="missing there: 2, 3, 4 and 3 more; without ground truth: other"
    ):
        dataset(opt)


def test_the_option_check_pairs_by_the_same_rules(clean, tmp_path):
    folder(tmp_path / "lq", [f"{number}.jpg" for number in range(8)])
    block = synthetic(clean, synthetic=None, dataroot_lq=str(tmp_path / "lq"))

    def faults() -> list[str]:
        opt = {
            "datasets": {"train": block, "val": {"type": "SemiSupervisedDataset", "paired": block}}
        }
        return [
            str(problem)
            for problem in option_files.check(opt, "x.yml")
            if "pair with" in str(problem)
        ]

    assert faults() == []
    (tmp_path / "lq" / "3.jpg").unlink()
    train, val = faults()
    assert "datasets.train.dataroot_lq" in train and "missing there: 3;" in train
    assert "datasets.val.paired.dataroot_lq" in val


def test_partners_are_found_by_two_templates():
    assert partner("rain/norain-7", "input-{}.v2", "norain-{}") == "rain/input-7%2Ev2"
    assert partner("a", "{}_rain") == "a_rain"


def test_templates_that_give_one_partner_to_several_are_refused(clean, tmp_path):
    folder(tmp_path / "lq", ["x.png"])
    opt = synthetic(clean, synthetic=None, dataroot_lq=str(tmp_path / "lq"), filename_tmpl="x")
    with pytest.raises(OptionError, match="one partner to several"):
        dataset(opt)


def test_semi_supervised_refuses_validation_and_missing_sizes(clean, real):
    with pytest.raises(OptionError, match="validate with"):
        dataset(semi(clean, real, phase="val"))
    with pytest.raises(OptionError, match="training needs gt_size"):
        dataset(semi(clean, real, gt_size=None))


def test_stock_train_pipeline_drives_both_streams(clean, real, tmp_path, monkeypatch):
    """Train BasicSR's own model and network, two epochs with two workers.

    Validation is on pairs and on real photos.
    """
    train = semi(clean, real) | {
        "num_worker_per_gpu": 2,
        "batch_size_per_gpu": 4,
        "dataset_enlarge_ratio": 1,
    }
    val = synthetic(clean, phase=None) | {
        "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 0}}
    }
    opt = {
        **{"name": "both", "model_type": "SRModel", "scale": 1, "num_gpu": 0, "manual_seed": 1},
        "datasets": {
            "train": without(train, "phase"),
            "val": without(val, "phase", "gt_size"),
            "val_2": without(real_options(real), "phase", "gt_size"),
        },
        "network_g": {"type": "SRVGGNetCompact", "num_feat": 4, "num_conv": 1, "upscale": 1},
        "path": {},
        "train": {
            **{
                "total_iter": 4,
                "pixel_opt": {"type": "L1Loss"},
                "optim_g": {"type": "Adam", "lr": 1e-3},
            },
            "scheduler": {"type": "MultiStepLR", "milestones": [3]},
        },
        "val": {"val_freq": 4, "save_img": False, "metrics": {}},
        "logger": {"print_freq": 1, "save_checkpoint_freq": 4, "use_tb_logger": False},
    }
    (tmp_path / "both.yml").write_text(yaml.safe_dump(opt))
    monkeypatch.setattr("sys.argv", ["train.py", "-opt", str(tmp_path / "both.yml")])
    monkeypatch.setattr(
        "basicsr.utils.logger.initialized_logger", {}
    )  # this run's log gets a file of its own
    basicsr.train.train_pipeline(str(tmp_path))
    assert (tmp_path / "experiments" / "both" / "models" / "net_g_latest.pth").is_file()
    log = next((tmp_path / "experiments" / "both").glob("train_both_*.log")).read_text()
    assert (
        "Number of val images/folders in real: 8" in log
        and "[epoch:  1, iter:       4" in log
        and "# psnr:" in log
    )


def without(block: dict, *keys: str) -> dict:
    return {key: value for key, value in block.items() if key not in keys}
