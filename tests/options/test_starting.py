"""A failed start must not rename an existing run."""

import sys

import cv2
import numpy as np
import pytest
from stock_project import train_set, val_set, write_project

from wxr_plugin import test as test_command
from wxr_plugin import train

BROKEN = """
from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.utils.registry import DATASET_REGISTRY

@DATASET_REGISTRY.register()
class FailsAt{at}(PairedImageDataset):
    taken = 0

    def __getitem__(self, index):
        type(self).taken += 1
        if type(self).taken > {at}:
            raise RuntimeError("the disk is gone")
        return super().__getitem__(index)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Root of a project with a finished run, a file in which marks it."""
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    assert train.main(["-opt", "stock.yml", "--force_yml", "train:total_iter=2"]) == 0
    (tmp_path / "experiments" / "stock" / "mine.txt").write_text("finished")
    return tmp_path


def folders(project):
    return sorted(path.name for path in (project / "experiments").iterdir())


def is_kept(project):
    return (
        folders(project) == ["stock"] and (project / "experiments" / "stock" / "mine.txt").is_file()
    )


def shrink(project, name, size):
    """Cut the LQ photo `name` of the training set to `size` (width, height)."""
    path = project / "train" / "lq" / name
    cv2.imwrite(str(path), cv2.imread(str(path))[: size[1], : size[0]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "datasets:train:batch_size_per_gpu=50",
            "batch_size_per_gpu: 50, but the set has 6 images",
        ),
        (
            "datasets:train:gt_size=48",
            "6 of 6 photos are smaller than the crop of 48 pixels: 0.png (32x32)",
        ),
        ("+device=cuda:7", "device: cuda:7: this machine has"),
    ],
)
def test_checks_run_before_the_folder_is_touched(project, capsys, change, message):
    assert train.main(["-opt", "stock.yml", "--force_yml", change]) == 2
    err = capsys.readouterr().err
    assert message in err and "nothing was started" in err
    assert is_kept(project)


def test_pairs_of_unequal_sizes_are_named_before_the_start(project, capsys):
    shrink(project, "3.png", (30, 32))
    assert train.main(["-opt", "stock.yml"]) == 2
    err = capsys.readouterr().err
    assert "1 of 6 pairs differ in size: 3.png is 30x32, its ground truth 3.png 32x32" in err
    assert is_kept(project)


@pytest.mark.parametrize("package", ["wandb", "tensorboard"])
def test_a_package_that_is_missing_is_named_before_the_start(project, capsys, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    find = __import__("importlib.util", fromlist=["find_spec"]).find_spec
    hide = lambda name, *rest: None if name == package else find(name, *rest)  # noqa: E731
    monkeypatch.setattr("importlib.util.find_spec", hide)
    change = ["logger:use_tb_logger=true", "logger:wandb={project: mine}"]
    assert train.main(["-opt", "stock.yml", "--force_yml", *change]) == 2
    err = capsys.readouterr().err
    assert f"the package {package} is not installed; pip install {package}" in err
    assert is_kept(project)


def fail_at(project, count, **changes):
    """Write an option file whose training set fails after `count` images."""
    (project / f"plugin_fails_at_{count}.py").write_text(BROKEN.format(at=count))
    sets = {"train": train_set(project, type=f"FailsAt{count}"), "val": val_set(project)}
    write_project(project, datasets=sets, plugins=[f"plugin_fails_at_{count}"], **changes)


def test_a_start_that_fails_at_the_first_batch_is_undone(project, capsys):
    fail_at(project, 0)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        train.main(["-opt", "stock.yml"])
    assert is_kept(project)
    assert "The start failed; the earlier run is still in" in capsys.readouterr().err


def test_the_tensorboard_folder_is_put_back_too(project):
    change = {"logger": {"print_freq": 1, "save_checkpoint_freq": 2, "use_tb_logger": True}}
    write_project(project, **change)
    assert train.main(["-opt", "stock.yml", "--force_yml", "train:total_iter=2"]) == 0
    (project / "tb_logger" / "stock" / "mine.txt").write_text("curves")
    fail_at(project, 0, **change)
    with pytest.raises(RuntimeError):
        train.main(["-opt", "stock.yml"])
    assert "stock" in folders(project) and len(folders(project)) == 2, (
        "one archive, of the first run"
    )
    assert [path.name for path in (project / "tb_logger").iterdir()] == ["stock"]
    assert (project / "tb_logger" / "stock" / "mine.txt").is_file()


def test_a_training_that_fails_later_keeps_its_folder(project):
    fail_at(project, 2)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        train.main(["-opt", "stock.yml"])
    assert len(folders(project)) == 2, "the earlier run is archived, as BasicSR does"
    assert not (project / "experiments" / "stock" / "mine.txt").exists()


def test_a_test_that_fails_leaves_the_earlier_results(project):
    weights = {
        "pretrain_network_g": "experiments/stock/models/net_g_latest.pth",
        "strict_load_g": True,
    }
    changes = {
        "name": "tested",
        "path": weights,
        "val": {"save_img": True, "suffix": None, "metrics": None},
    }
    write_project(project, datasets={"test_1": val_set(project)}, **changes)
    assert test_command.main(["-opt", "stock.yml"]) == 0
    results = {
        path.name
        for path in (project / "results" / "tested" / "visualization" / "held_out").iterdir()
    }
    (project / "plugin_fails_at_1.py").write_text(BROKEN.format(at=1))
    broken = {"test_1": val_set(project, type="FailsAt1")}
    write_project(project, datasets=broken, plugins=["plugin_fails_at_1"], **changes)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        test_command.main(["-opt", "stock.yml"])
    kept = {
        path.name
        for path in (project / "results" / "tested" / "visualization" / "held_out").iterdir()
    }
    assert kept == results and len(results) == 2
    failed = [path.name for path in (project / "results").iterdir() if "_failed_" in path.name]
    assert len(failed) == 1, "its image is kept apart"


def test_the_error_of_a_pair_names_its_file():
    from basicsr.data.transforms import paired_random_crop

    from wxr_plugin.errors import WxrError

    gt, lq = np.zeros((32, 32, 3)), np.zeros((32, 30, 3))
    with pytest.raises(WxrError, match=r"photos/7\.png: Scale mismatches. GT \(32, 32\)"):
        paired_random_crop(gt, lq, 16, 1, "photos/7.png")
