"""Checks of datasets: paths, pairs, and ground truth that is both trained and tested on."""

import os
import shutil
from pathlib import Path

import cv2
import lmdb
import pytest
import toy_option_files
from toy_option_files import make_folders, problem_texts, problems


@pytest.fixture
def root(tmp_path):
    make_folders(tmp_path)
    return tmp_path


@pytest.fixture
def opt(root):
    return toy_option_files.parse(toy_option_files.MSRRESNET, root)


@pytest.mark.parametrize(
    ("block", "key"),
    [
        ("datasets.train", "dataroot_gt"),
        ("datasets.val", "dataroot_lq"),
        ("datasets.val", "meta_info_file"),
        ("path", "pretrain_network_g"),
        ("path", "resume_state"),
    ],
)
def test_a_path_that_is_not_there(opt, root, block, key):
    inner = opt["path"] if block == "path" else opt["datasets"][block.split(".")[1]]
    inner[key] = str(root / "nowhere")
    reported = problems(opt, root)
    assert [(problem.key, problem.fault) for problem in reported] == [
        (f"{block}.{key}", f"{root}/nowhere does not exist")
    ]
    assert reported[0].line


def test_paths_of_further_networks_are_known(opt, root):
    opt["path"]["pretrain_network_x"] = None
    assert list(problem_texts(opt, root)) == ["path.pretrain_network_x"]
    opt |= toy_option_files.parse(toy_option_files.ESRGAN, root)
    opt["path"] = {"pretrain_network_d": str(root / "nowhere")}
    assert list(problem_texts(opt, root)) == ["path.pretrain_network_d"]


def test_a_home_folder_counts(opt, root, monkeypatch):
    monkeypatch.setenv("HOME", str(root))
    opt["datasets"]["val"]["dataroot_gt"] = "~/val_gt"
    assert problems(opt, root) == []


def test_an_lmdb_that_is_cut_or_has_keys_that_lead_out_is_named(opt, root):
    for name, key in (("cut", "a"), ("unsafe", "/outside")):
        with (
            lmdb.open(str(root / f"{name}.lmdb")) as database,
            database.begin(write=True) as transaction,
        ):
            transaction.put(key.encode(), b"x" * 90_000)
        (root / f"{name}.lmdb" / "meta_info.txt").write_text(f"{key}.png (4,4,3) 1\n")
    os.truncate(root / "cut.lmdb" / "data.mdb", 40_000)
    for side in ("train", "val"):
        opt["datasets"][side]["dataroot_gt"] = str(
            root / ("cut.lmdb" if side == "train" else "unsafe.lmdb")
        )
    reported = problem_texts(opt, root)
    assert "data.mdb is cut short" in reported["datasets.train.dataroot_gt"]
    assert "'/outside' is an absolute path" in reported["datasets.val.dataroot_gt"]


def test_a_folder_without_images_or_in_place_of_an_lmdb(opt, root):
    (root / "empty").mkdir()
    opt["datasets"]["val"]["dataroot_gt"] = str(root / "empty")
    opt["datasets"]["train"]["io_backend"]["type"] = "lmdb"
    reported = problem_texts(opt, root)
    assert "is empty" in reported["datasets.val.dataroot_gt"]
    assert f"wxr lmdb build FOLDER {root}/train_gt.lmdb" in reported["datasets.train.dataroot_gt"]


def test_an_image_without_its_partner_is_named(opt, root):
    (root / "train_lq" / "0001.png").unlink()
    (root / "train_lq" / "odd.png").write_bytes(b"x")
    (root / "val_lq" / ".hidden").touch()
    reported = problem_texts(opt, root)
    assert list(reported) == ["datasets.train.dataroot_lq"]
    assert (
        "missing in dataroot_lq: 0001.png; without ground truth: odd.png"
        in reported["datasets.train.dataroot_lq"]
    )


def test_pairs_follow_the_template(opt, root):
    for file in (root / "val_lq").iterdir():
        file.rename(file.with_stem(f"{file.stem}x4"))
    assert "3 in" not in problem_texts(opt, root)["datasets.val.dataroot_lq"]
    opt["datasets"]["val"]["filename_tmpl"] = "{}x4"
    assert problems(opt, root) == []
    opt["datasets"]["val"]["filename_tmpl"] = "{name}x4"
    assert list(problem_texts(opt, root)) == ["datasets.val.filename_tmpl"]


def test_a_list_of_images_is_held_against_both_folders(opt, root):
    (root / "list.txt").write_text("0000.png (32,32,3)\n0001.png (32,32,3)\n0009.png (32,32,3)\n")
    opt["datasets"]["train"]["meta_info_file"] = str(root / "list.txt")
    (root / "train_lq" / "0001.png").unlink()
    reported = problem_texts(opt, root)
    assert "1 of the 3 images" in reported["datasets.train.dataroot_gt"]
    assert "2 of the 3 images" in reported["datasets.train.dataroot_lq"]
    assert "0001.png, 0009.png" in reported["datasets.train.dataroot_lq"]


def test_lmdbs_pair_by_key(opt, root):
    for kind in ("gt", "lq"):
        make_lmdb(root / f"train_{kind}")
        opt["datasets"]["train"][f"dataroot_{kind}"] = str(root / f"train_{kind}.lmdb")
    opt["datasets"]["train"]["io_backend"]["type"] = "lmdb"
    assert problems(opt, root) == []
    meta = root / "train_lq.lmdb" / "meta_info.txt"
    meta.write_text("".join(meta.read_text().splitlines(keepends=True)[:2]))
    assert "3 in dataroot_gt" in problem_texts(opt, root)["datasets.train.dataroot_lq"]
    (root / "train_gt.lmdb" / "data.mdb").unlink()
    assert "not a finished LMDB" in problem_texts(opt, root)["datasets.train.dataroot_gt"]


@pytest.mark.parametrize("training_as_lmdb", [False, True])
def test_ground_truth_in_both_sets_is_found_by_content(opt, root, training_as_lmdb):
    shutil.copy(root / "train_gt" / "0002.png", root / "val_gt" / "9000.png")
    shutil.copy(root / "val_lq" / "0000.png", root / "val_lq" / "9000.png")
    if training_as_lmdb:
        for kind in ("gt", "lq"):
            make_lmdb(root / f"train_{kind}")
            opt["datasets"]["train"][f"dataroot_{kind}"] = str(root / f"train_{kind}.lmdb")
        opt["datasets"]["train"]["io_backend"]["type"] = "lmdb"
    trained = root / ("train_gt.lmdb/0002" if training_as_lmdb else "train_gt/0002.png")
    reported = problem_texts(opt, root)
    assert list(reported) == ["datasets.val.dataroot_gt"]
    assert (
        f"1 ground-truth images are also in datasets.train: {root}/val_gt/9000.png = {trained}"
        in reported.popitem()[1]
    )
    assert problems(opt | {"allow_shared_gt": True}, root) == []


@pytest.fixture
def universal(opt, root):
    """Return `opt` on a tree of degradations: two hazy pairs train, two rainy ones validate."""
    for split, word in (("train", "hazy"), ("val", "rainy")):
        for side, kind in (("LQ", "lq"), ("GT", "gt")):
            folder = root / "universal" / split / word / side
            folder.mkdir(parents=True)
            for number in range(2):
                shutil.copy(root / f"{split}_{kind}" / f"000{number}.png", folder / f"{number}.png")
    block = {"name": "ten", "type": "DegradationDataset", "dataroot": str(root / "universal")}
    opt["datasets"] = {
        "train": block | {"gt_size": 8, "num_worker_per_gpu": 0, "batch_size_per_gpu": 1},
        "val": block,
    }
    return opt | {"scale": 1}


@pytest.mark.parametrize("as_lmdb", [False, True])
def test_ground_truth_shared_by_splits_of_the_ten_degradations(universal, root, as_lmdb):
    assert problems(universal, root) == []
    trained, held = (root / "universal" / place / "GT" for place in ("train/hazy", "val/rainy"))
    shutil.copy(trained / "1.png", held / "0.png")
    for folder in (trained, held) if as_lmdb else ():
        make_lmdb(folder)
        shutil.rmtree(folder)
    pair = (
        [f"{trained}.lmdb/1", f"{held}.lmdb/0"]
        if as_lmdb
        else [f"{trained}/1.png", f"{held}/0.png"]
    )
    reported = problem_texts(universal, root)
    assert (
        f"1 ground-truth images are also in datasets.train: {pair[1]} = {pair[0]}"
        in reported.pop("datasets.val.dataroot")
    )
    assert not reported
    universal["datasets"]["train"]["degradations"] = ["hazy"]
    universal["datasets"]["val"]["split"] = "train"
    assert "2 ground-truth images" in problem_texts(universal, root)["datasets.val.dataroot"]
    universal["datasets"]["val"] |= {"split": 3, "degradations": 7}
    assert {"datasets.val.split", "datasets.val.degradations"} <= problem_texts(
        universal, root
    ).keys()


def test_photos_for_synthetic_degradations_that_are_validated_on(universal, root):
    train = universal["datasets"]["train"]
    del train["dataroot"]
    train |= {"dataroot_gt": str(root / "train_gt"), "synthetic": {"degradations": ["noisy"]}}
    assert problems(universal, root) == []
    shutil.copy(root / "train_gt" / "0002.png", root / "universal/val/rainy/GT/1.png")
    assert "rainy/GT/1.png = " in problem_texts(universal, root)["datasets.val.dataroot"]
    universal["datasets"]["val"] = {
        "name": "own",
        "type": "DegradationDataset",
        "dataroot_gt": str(root / "val_gt"),
    }
    universal["datasets"]["val"] |= {"synthetic": {"degradations": ["noisy"]}}
    assert problems(universal, root) == []
    shutil.copy(root / "train_gt" / "0000.png", root / "val_gt" / "new.png")
    assert f"{root}/val_gt/new.png = " in problem_texts(universal, root)["datasets.val.dataroot_gt"]


def test_equal_size_and_equal_edges_are_not_enough(opt, root):
    size = 3 * 4096
    (root / "train_gt" / "0000.png").write_bytes(bytes(size))
    (root / "val_gt" / "0000.png").write_bytes(
        bytes(size // 2) + b"\x01" + bytes(size - size // 2 - 1)
    )
    assert problems(opt, root) == []


def test_one_folder_split_by_lists_is_no_sharing(opt, root):
    for name, lines in (("a", ["0000.png", "0001.png"]), ("b", ["0002.png"])):
        (root / f"{name}.txt").write_text("\n".join(lines))
    train = opt["datasets"]["train"]
    opt["datasets"]["val"] |= {key: train[key] for key in ("dataroot_gt", "dataroot_lq")}
    assert "2 ground-truth" not in problem_texts(opt, root)["datasets.val.dataroot_gt"]
    train["meta_info_file"], opt["datasets"]["val"]["meta_info_file"] = (
        str(root / "a.txt"),
        str(root / "b.txt"),
    )
    assert problems(opt, root) == []


def test_weather_datasets_declare_their_keys(opt, root):
    for folder in ("rain", "haze"):
        shutil.copytree(root / "val_gt", root / "photos" / folder)
    clean = {"name": "clean", "type": "PairedWeatherDataset", "dataroot_gt": str(root / "train_gt")}
    loader = {"num_worker_per_gpu": 0, "batch_size_per_gpu": 1}
    real = {"dataroot": str(root / "photos")}
    opt["datasets"] = {
        "train": {
            "name": "both",
            "type": "SemiSupervisedDataset",
            "gt_size": 16,
            "paired": {
                "dataroot_gt": str(root / "train_gt"),
                "synthetic": {"kinds": ["rain"], "severity": [0.1, 0.9]},
            },
            "real": real,
            **loader,
        },
        "val": clean | {"dataroot_gt": str(root / "val_gt"), "dataroot_lq": str(root / "val_gt")},
    }
    opt["scale"] = opt["network_g"]["upscale"] = 1
    assert problems(opt, root) == []
    real["dataroot"] = {
        "rain": str(root / "photos" / "rian"),
        "snwo": str(root / "photos" / "haze"),
    }
    opt["datasets"]["train"]["paired"]["synthetic"]["kinds"] = ["rain", "hail"]
    opt["datasets"]["train"]["paired"]["stlye"] = "shifted"
    opt["datasets"]["val"]["dataroot_lq"] = str(root / "train_gt")
    reported = problem_texts(opt, root)
    assert set(reported) == {
        "datasets.train.real.dataroot.rain",
        "datasets.train.real.dataroot.snwo",
        "datasets.train.paired.synthetic.kinds[1]",
        "datasets.train.paired.stlye",
        "datasets.val.dataroot_lq",
    }


def make_lmdb(folder: Path) -> None:
    """Write an LMDB in BasicSR's format with the bytes of the files of `folder`."""
    target = folder.with_name(folder.name + ".lmdb")
    lines = []
    with (
        lmdb.open(str(target), map_size=1 << 24) as environment,
        environment.begin(write=True) as transaction,
    ):
        for file in sorted(folder.iterdir()):
            height, width, channels = cv2.imread(str(file)).shape
            transaction.put(file.stem.encode(), file.read_bytes())
            lines.append(f"{file.name} ({height},{width},{channels}) 1\n")
    (target / "meta_info.txt").write_text("".join(lines))


def test_a_path_that_is_longer_than_any_file_system_allows(opt, root):
    opt["datasets"]["train"]["dataroot_gt"] = "x" * 100_000
    texts = [str(problem) for problem in problems(opt, root)]
    assert any("datasets.train.dataroot_gt" in text and "does not exist" in text for text in texts)
