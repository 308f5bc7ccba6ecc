"""Checks of the sizes of training images, which are read from headers."""

import cv2
import pytest
import toy_option_files
from PIL import Image
from test_option_sets import make_lmdb
from toy_option_files import make_folders, problem_texts, problems

from wxr_plugin.data.images.io import image_size
from wxr_plugin.options.checks import sizes


@pytest.fixture
def root(tmp_path):
    make_folders(tmp_path)
    return tmp_path


@pytest.fixture
def opt(root):
    return toy_option_files.parse(toy_option_files.MSRRESNET, root)


def resize(file, width, height):
    cv2.imwrite(str(file), cv2.resize(cv2.imread(str(file)), (width, height)))


@pytest.mark.parametrize("as_lmdb", [False, True])
def test_a_pair_whose_sizes_do_not_fit_the_scale_is_named(opt, root, as_lmdb):
    resize(root / "train_lq" / "0001.png", 9, 8)
    for kind in ("gt", "lq") if as_lmdb else ():
        make_lmdb(root / f"train_{kind}")
        opt["datasets"]["train"][f"dataroot_{kind}"] = str(root / f"train_{kind}.lmdb")
    opt["datasets"]["train"]["io_backend"]["type"] = "lmdb" if as_lmdb else "disk"
    name = "0001" if as_lmdb else "0001.png"
    expected = f"1 of 3 pairs differ in size times 4: {name} is 9x8, its ground truth {name} 32x32"
    assert problem_texts(opt, root) == {
        "datasets.train.dataroot_lq": f"{expected}; make both images of a pair equal in size"
    }


def test_listed_pairs_alone_are_looked_at(opt, root):
    resize(root / "train_lq" / "0001.png", 9, 8)
    opt["datasets"]["train"]["meta_info_file"] = str(root / "list.txt")
    (root / "list.txt").write_text("0000.png (32,32,3)\n0002.png (32,32,3)\n")
    assert problems(opt, root) == []


def test_a_photo_smaller_than_the_crop_is_named_with_the_largest_crop_that_fits(opt, root):
    resize(root / "train_gt" / "0002.png", 32, 24)
    resize(root / "train_lq" / "0002.png", 8, 6)
    reported = problem_texts(opt, root)["datasets.train.gt_size"]
    assert (
        "1 of 3 photos are smaller than the crop of 32 pixels: 0002.png (32x24); use 24 or less"
        in reported
    )
    opt["datasets"]["train"]["gt_size"] = 24
    assert problems(opt, root) == []


def test_our_own_pairs_bear_a_few_unequal_ones_and_small_photos(opt, root):
    opt["scale"] = opt["network_g"]["upscale"] = 1
    train = opt["datasets"]["train"]
    train |= {"type": "PairedWeatherDataset", "dataroot_lq": train["dataroot_gt"], "gt_size": 64}
    opt["datasets"]["val"]["dataroot_lq"] = opt["datasets"]["val"]["dataroot_gt"]
    assert problems(opt, root) == []
    train["dataroot_lq"] = str(root / "train_lq")
    assert problems(opt, root) == [], "3 pairs may be bad"
    train["max_bad"] = 2
    assert "3 of 3 pairs differ in size" in problem_texts(opt, root)["datasets.train.dataroot_lq"]


def test_a_batch_larger_than_the_set_is_named(opt, root, monkeypatch):
    train = opt["datasets"]["train"]
    train["dataset_enlarge_ratio"] = 5
    reported = problem_texts(opt, root)["datasets.train.batch_size_per_gpu"]
    assert reported == (
        "16, but the set has 3 images, which fill no batch; use 15 or less, or raise "
        "dataset_enlarge_ratio to 6"
    )
    train["dataset_enlarge_ratio"] = 6
    assert problems(opt, root) == []
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert (
        "3 images for 2 processes" in problem_texts(opt, root)["datasets.train.batch_size_per_gpu"]
    )


def test_of_a_large_set_some_headers_are_read(opt, root, monkeypatch):
    monkeypatch.setattr(sizes, "MOST", 2)
    read = []
    monkeypatch.setattr(sizes, "image_size", lambda path: read.append(path.name))
    assert problems(opt, root) == []
    assert read == ["0000.png", "0000.png", "0002.png", "0002.png"]


def test_the_size_of_a_rotated_photo_is_that_after_rotation(tmp_path):
    image, exif = Image.new("RGB", (40, 30)), Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert (
        image_size(tmp_path / "turned.jpg")
        == cv2.imread(str(tmp_path / "turned.jpg")).shape[1::-1]
        == (30, 40)
    )
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert image_size(tmp_path / "broken.png") is None
