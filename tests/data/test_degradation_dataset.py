"""DegradationDataset: pairs in the official layout, synthetic ones, balance, and validation."""

import logging
from collections import Counter
from pathlib import Path

import basicsr.data
import cv2
import numpy as np
import pytest
import torch
from basicsr.train import create_train_val_dataloader
from basicsr.utils import get_root_logger

from wxr_plugin.data.degradations.apply import degrade
from wxr_plugin.data.degradations.layout import names_fit
from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.data.images.io import read_image, write_image
from wxr_plugin.data.lmdb.build import build
from wxr_plugin.errors import OptionError, WxrError
from wxr_plugin.models.base.val_metrics import image_name

SIZES = {"hazy": 5, "noisy": 2, "rainy": 1}


def picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(
        0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8
    )
    return cv2.resize(noise, (width, height))


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def root(tmp_path) -> Path:
    """Pairs of three degradations; the LQ image is the negative of its ground truth."""
    for seed, (word, count) in enumerate(SIZES.items()):
        for split in ("train", "val"):
            for number in range(count):
                image = picture(100 * seed + number)
                write_image(
                    tmp_path / "sets" / split / word / "GT" / f"{number + 8}_clean.png", image
                )
                write_image(
                    tmp_path / "sets" / split / word / "LQ" / f"{number + 8}.png", 255 - image
                )
    return tmp_path / "sets"


@pytest.fixture
def clean(tmp_path) -> Path:
    for number in range(4):
        write_image(tmp_path / "clean" / "a" / f"{number}.png", picture(number + 50))
    return tmp_path / "clean"


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.fixture
def log():
    """Return the messages at level INFO and above."""
    handler, logger = Lines(), get_root_logger()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.lines
    logger.setLevel(level)
    logger.removeHandler(handler)


def dataset(**options):
    opt = {"name": "ten", "type": "DegradationDataset", "phase": "train", "gt_size": 32} | options
    return basicsr.data.build_dataset(
        opt | {key: str(opt[key]) for key in ("dataroot", "dataroot_gt") if key in opt}
    )


def loaded(workers: int, seed: int = 3, **options) -> list[dict]:
    train = {"name": "ten", "type": "DegradationDataset", "gt_size": 32, "phase": "train"} | options
    train |= {"num_worker_per_gpu": workers, "batch_size_per_gpu": 3, "dataset_enlarge_ratio": 1}
    opt = {"datasets": {"train": train}, "world_size": 1, "rank": 0, "num_gpu": 0, "dist": False}
    opt |= {"manual_seed": seed, "train": {"total_iter": 100}}
    batches, sampler = create_train_val_dataloader(opt, get_root_logger())[:2]
    sampler.set_epoch(1)
    return list(batches)


def same(one: list[dict], other: list[dict]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a[key], b[key]) if torch.is_tensor(a[key]) else a[key] == b[key]
        for a, b in zip(one, other)
        for key in a
    )


def test_items_are_pairs_cut_and_turned_alike(root):
    item = dataset(dataroot=root).draw(0, rng(1))
    assert (
        set(item) == {"lq", "gt", "lq_path", "gt_path", "degradation"}
        and item["degradation"] == "hazy"
    )
    assert item["lq"].shape == item["gt"].shape == (3, 32, 32) and item["lq"].dtype == torch.float32
    assert torch.allclose(item["lq"], 1 - item["gt"], atol=1e-6)
    assert item["lq_path"].startswith(f"{root}/train/hazy/LQ/") and item["gt_path"].endswith(
        "_clean.png"
    )


def test_the_guide_sees_the_whole_photo_as_it_prepares_it(root):
    from wxr_plugin.conditioning.clip import build_clip
    from wxr_plugin.conditioning.daclip import DaCLIP

    model = DaCLIP(*build_clip("tiny"))
    item = dataset(dataroot=root, phase="train", gt_size=16, guide_size=model.image_size).draw(
        0, rng(1)
    )
    photo = torch.from_numpy(read_image(item["lq_guide_key"])).permute(2, 0, 1)[None] / 255
    assert item["lq_guide_key"] == item["lq_path"] and item["lq"].shape == (3, 16, 16)
    torch.testing.assert_close(
        model.prepare(item["lq_guide"][None]), model.prepare(photo), rtol=0, atol=1e-4
    )


def test_degradations_take_turns_and_images_are_drawn(root):
    train = dataset(dataroot=root)
    assert len(train) == 3 * 5
    items = [train.draw(index, rng(index)) for index in range(90)]
    assert [item["degradation"] for item in items[:4]] == ["hazy", "noisy", "rainy", "hazy"]
    drawn = Counter(item["gt_path"] for item in items if item["degradation"] == "hazy")
    assert len(drawn) == 5 and sum(drawn.values()) == 30
    assert len({train.draw(0, rng(i))["gt_path"] for i in range(30)}) == 5, (
        "an index means any image of its kind"
    )


def test_validation_gives_every_pair_in_order(root):
    val = dataset(dataroot=root, phase="val")
    words = [val[index]["degradation"] for index in range(len(val))]
    assert words == ["hazy"] * 5 + ["noisy"] * 2 + ["rainy"]
    assert [Path(val[i]["lq_path"]).stem for i in range(5)] == ["10", "11", "12", "8", "9"]
    assert all(
        Path(val[i]["gt_path"]).stem == Path(val[i]["lq_path"]).stem + "_clean" for i in range(8)
    )
    assert (
        val[0]["lq"].shape == (3, 48, 64)
        and image_name(val[0]["lq_path"], val.opt) == "val/hazy/LQ/10"
    )


def test_a_part_of_the_degradations_and_the_other_split(root):
    chosen = dataset(dataroot=root, phase="val", split="train", degradations=["rainy", "hazy"])
    assert Counter(chosen[i]["degradation"] for i in range(len(chosen))) == {"hazy": 5, "rainy": 1}
    assert "/train/" in chosen[0]["lq_path"]
    with pytest.raises(OptionError, match="val has no snowy, but hazy, noisy, rainy"):
        dataset(dataroot=root, phase="val", degradations=["snowy"])


def test_lmdbs_in_place_of_folders(root):
    expected = dataset(dataroot=root).draw(0, rng(4))
    for side in ("LQ", "GT"):
        folder = root / "train" / "hazy" / side
        build(folder, folder.with_suffix(".lmdb"), progress=False)
        for file in folder.iterdir():
            file.unlink()
    item = dataset(dataroot=root).draw(0, rng(4))
    assert torch.equal(item["lq"], expected["lq"]) and "LQ.lmdb/" in item["lq_path"]


def test_synthetic_degradations_cover_every_photo_in_validation(clean):
    val = dataset(dataroot_gt=clean, synthetic={"degradations": ["noisy", "hazy"]}, phase="val")
    items = [val[index] for index in range(len(val))]
    assert [item["degradation"] for item in items] == ["hazy"] * 4 + ["noisy"] * 4
    assert [Path(item["gt_path"]).stem for item in items[:4]] == ["0", "1", "2", "3"]
    assert [image_name(item["lq_path"], val.opt) for item in (items[0], items[-1])] == [
        "hazy/a/0",
        "noisy/a/3",
    ]
    assert items[4]["lq"].sub(items[4]["gt"]).std() > 0.1


def test_validation_depends_on_the_name_alone(clean, tmp_path):
    val = dataset(dataroot_gt=clean, synthetic={}, phase="val")
    before = {item["lq_path"]: item["lq"] for item in map(val.__getitem__, range(len(val)))}
    assert len(before) == 4 * len(DEGRADATIONS)
    moved = tmp_path / "moved"
    clean.rename(moved)
    (moved / "a" / "0.png").unlink()
    fewer = dataset(dataroot_gt=moved, synthetic={"degradations": ["snowy"]}, phase="val")
    for item in map(fewer.__getitem__, range(3)):
        assert torch.equal(item["lq"], before[item["lq_path"].replace("moved", "clean")])


def test_severity_for_all_or_each(clean):
    strong, weak = (
        {"degradations": ["noisy"], "severity": s} for s in ([1.0, 1.0], {"noisy": [0.1, 0.1]})
    )
    spread = [
        dataset(dataroot_gt=clean, phase="val", synthetic=synthetic)[0]
        for synthetic in (strong, weak)
    ]
    spread = [(item["lq"] - item["gt"]).std().item() for item in spread]
    assert spread[0] > 5 * spread[1] > 0
    with pytest.raises(
        Exception, match=r"severity of noisy goes from 0\.9 down to 0\.2; swap the two"
    ):
        dataset(dataroot_gt=clean, synthetic={"severity": {"noisy": [0.9, 0.2]}})


def test_by_default_noise_is_as_published(clean):
    item = dataset(
        dataroot_gt=clean,
        synthetic={"degradations": ["jpeg-compressed"]},
        use_hflip=False,
        use_rot=False,
    )
    item = item.draw(0, rng(1))
    gt = item["gt"].numpy().transpose(1, 2, 0)
    assert np.array_equal(
        item["lq"].numpy().transpose(1, 2, 0), degrade(gt, "jpeg-compressed", 1.0, rng())
    )


def test_pairs_and_photos_mix(root, clean):
    train = dataset(
        dataroot=root, dataroot_gt=clean, synthetic={"degradations": ["noisy", "snowy"]}
    )
    assert len(train) == 4 * 6
    items = [train.draw(index, rng(index)) for index in range(120)]
    assert Counter(item["degradation"] for item in items) == dict.fromkeys(
        ["hazy", "noisy", "rainy", "snowy"], 30
    )
    noisy = Counter(
        str(root) in item["lq_path"] for item in items if item["degradation"] == "noisy"
    )
    assert min(noisy[True], noisy[False]) >= 3
    val = dataset(
        dataroot=root,
        dataroot_gt=clean,
        synthetic={"degradations": ["noisy", "snowy"]},
        phase="val",
    )
    assert len(val) == 8 + 8


@pytest.mark.parametrize("pipeline", [["wild"], ["noisy", "wild"]])
def test_the_wild_pipeline_is_one_of_them(clean, pipeline, log):
    train = dataset(dataroot_gt=clean, synthetic={"degradations": pipeline})
    assert "without camera PSFs (synthetic.wild.psf) and without under-display PSFs" in log[0]
    items = [train.draw(index, rng(index)) for index in range(40)]
    wild = [item for item in items if item["degradation"] == "wild"]
    assert len(wild) == 40 // len(pipeline)
    grey = [item for item in wild if (item["gt"] == item["gt"][:1]).all()]
    assert 0 < len(grey) < len(wild) / 2
    assert sum(not torch.equal(item["lq"], item["gt"]) for item in wild) > len(wild) / 2


def test_workers_do_not_matter_and_the_seed_does(root, clean):
    options = {
        "dataroot": str(root),
        "dataroot_gt": str(clean),
        "synthetic": {"degradations": ["noisy", "wild"]},
    }
    assert same(loaded(0, **options), loaded(2, **options))
    assert not same(loaded(0, **options), loaded(0, seed=4, **options))


def test_bad_files_are_replaced_within_their_quota(root):
    (root / "train" / "rainy" / "LQ" / "8.png").write_bytes(b"")
    train = dataset(dataroot=root)
    assert {train.draw(2, rng(i))["degradation"] for i in range(20)} == {"hazy", "noisy"}
    with pytest.raises(
        WxrError, match=r"(?s)1 images cannot be used, more than max_bad: 0 allows.*rainy"
    ):
        dataset(dataroot=root, max_bad=0).draw(2, rng(0))


def test_a_pair_of_two_sizes_is_named(root):
    write_image(root / "val" / "rainy" / "LQ" / "8.png", picture(0, 40, 64))
    val = dataset(dataroot=root, phase="val", degradations=["rainy"])
    with pytest.raises(WxrError, match=r"rainy/GT/8_clean.png"):
        val[0]


def test_unequal_numbers_name_both_sides(root):
    (root / "train" / "hazy" / "GT" / "9_clean.png").unlink()
    with pytest.raises(
        OptionError, match=r"hazy/LQ holds 5 images and .*hazy/GT 4; give each image its partner"
    ):
        dataset(dataroot=root)


def test_names_that_do_not_fit_are_refused_or_accepted(root):
    folder = root / "train" / "noisy" / "LQ"
    (folder / "8.png").rename(folder / "91.png")
    with pytest.raises(
        OptionError,
        match=r"noisy/LQ/9.png would be paired with .*noisy/GT/8_clean.png.*check_names: false",
    ):
        dataset(dataroot=root)
    assert len(dataset(dataroot=root, check_names=False)) == 15


@pytest.mark.parametrize(
    ("one", "other", "fit"),
    [
        ("rain-001", "norain-1", True),
        ("1_3_0%2E9", "1", True),
        ("7_rain", "8_clean", False),
        ("GOPR0372_07_00-000047", "GOPR0372_07_00-000047", True),
        ("GOPR0372_07_00-000047", "GOPR0372_07_00-000048", False),
        ("street", "street_gt", True),
        ("street", "house", False),
        ("img", "img_0", True),
        ("12", "21", False),
    ],
)
def test_names_that_may_be_of_one_scene(one, other, fit):
    assert names_fit(one, other) is fit and names_fit(other, one) is fit


def test_sorting_goes_by_file_name(tmp_path):
    for side, names in {"LQ": ("a1.png", "a1-2.png"), "GT": ("a1_gt.png", "a1-2_gt.png")}.items():
        for seed, name in enumerate(names):
            write_image(tmp_path / "val" / "hazy" / side / name, picture(seed))
    val = dataset(dataroot=tmp_path, phase="val")
    assert [Path(val[i]["gt_path"]).name for i in range(2)] == ["a1-2_gt.png", "a1_gt.png"]
    assert all(torch.equal(val[i]["lq"], val[i]["gt"]) for i in range(2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give dataroot"),
        ({"synthetic": {}}, "go together"),
        ({"dataroot_gt": "CLEAN"}, "go together|give dataroot"),
        ({"dataroot_gt": "CLEAN", "synthetic": {}, "degradations": ["hazy"]}, "take them out"),
        ({"dataroot_gt": "CLEAN", "synthetic": {}, "gt_size": None}, "training needs gt_size"),
        (
            {"dataroot": "CLEAN"},
            r"CLEAN/train: no such folder; the layout is .*/\{train,val\}/<degradation>",
        ),
        (
            {
                "dataroot_gt": "CLEAN",
                "synthetic": {"degradations": ["wild"], "wild": {"psf": "none.npz"}},
            },
            "none.npz",
        ),
        ({"dataroot_gt": "CLEAN", "synthetic": {}, "scale": 2}, "scale: 1"),
        (
            {"dataroot_gt": "CLEAN", "synthetic": {}, "guide_size": 64},
            "guide_size needs the whole degraded photo",
        ),
    ],
)
def test_options_that_do_not_go_together(clean, options, message):
    options = {key: str(clean) if value == "CLEAN" else value for key, value in options.items()}
    with pytest.raises(WxrError, match=message.replace("CLEAN", str(clean))):
        dataset(**options)


def test_a_dataset_reads_what_was_written(root):
    item = dataset(dataroot=root, phase="val")[7]
    expected = read_image(root / "val" / "rainy" / "GT" / "8_clean.png").transpose(
        2, 0, 1
    ) / np.float32(255)
    assert np.array_equal(item["gt"].numpy(), expected)
