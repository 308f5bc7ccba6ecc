"""Commands that run BasicSR's pipelines, with an option file of stock types."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch
from basicsr.utils import options as host_options
from stock_project import free_port, train_set, val_set, write_project

from wxr_plugin import test as test_command
from wxr_plugin import train
from wxr_plugin.errors import OptionError
from wxr_plugin.options.command_line import command_line

STEPS = "train:total_iter"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Root of a stock project, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    return tmp_path


def weights(root, name, label="latest"):
    return torch.load(
        root / "experiments" / name / "models" / f"net_g_{label}.pth", weights_only=True
    )


def same(one, other):
    return all(torch.equal(one[key][name], other[key][name]) for key in one for name in one[key])


def log(root, name, kind="train"):
    folder = root / ("experiments" if kind == "train" else "results") / name
    return max(folder.glob("*.log"), key=lambda file: file.stat().st_mtime_ns).read_text()


def iterations(text):
    return [int(number) for number in re.findall(r"iter:\s+(\d+), lr", text)]


def begin(*line, **popen):
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, line)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        **popen,
    )


def test_a_stock_option_file_trains_validates_and_saves(project):
    argv = sys.argv
    assert train.main(["-opt", "stock.yml"]) == 0
    assert sys.argv is argv
    text = log(project, "stock")
    assert iterations(text) == [1, 2, 3, 4, 5, 6] and text.count("psnr") >= 3
    found = {file.name for file in (project / "experiments" / "stock").rglob("*.*")}
    assert {"stock.yml", "net_g_2.pth", "net_g_latest.pth", "2.state", "6.state"} <= found
    assert not same(weights(project, "stock", 2), weights(project, "stock"))


def test_the_same_seed_gives_the_same_weights_for_any_number_of_workers(project):
    for name, workers in [("alone", 0), ("two", 2)]:
        change = f"datasets:train:num_worker_per_gpu={workers}"
        assert train.main(["-opt", "stock.yml", "--force_yml", f"name={name}", change]) == 0
    assert same(weights(project, "alone"), weights(project, "two"))


def test_resuming_from_the_newest_readable_state_ends_where_an_uninterrupted_run_does(
    project, capsys
):
    assert train.main(["-opt", "stock.yml", "--force_yml", "train:total_iter=9", "name=whole"]) == 0
    assert train.main(["-opt", "stock.yml", "--force_yml", "train:total_iter=5", "name=cut"]) == 0
    newest = project / "experiments" / "cut" / "training_states" / "4.state"
    newest.write_bytes(newest.read_bytes()[:1000])
    resumed = [
        "-opt",
        "stock.yml",
        "--auto_resume",
        "--force_yml",
        "name=cut",
        "manual_seed=1",
        "train:total_iter=9",
    ]
    with pytest.warns(UserWarning, match=r"4\.state"):
        assert train.main(resumed) == 0
    assert "Resuming training from epoch: 0, iter: 2" in log(project, "cut")
    assert "manual_seed is 7" in capsys.readouterr().out
    one, other = weights(project, "whole"), weights(project, "cut")
    assert same({"params": one["params"]}, {"params": other["params"]})


def test_short_epochs_reach_the_last_iteration(project):
    """Three images in batches of two: stock counts two iterations an epoch, the loader has one."""
    changes = ["train:total_iter=7", "+datasets:train:meta_info_file=three.txt", "name=short"]
    (project / "three.txt").write_text("0.png\n1.png\n2.png\n")
    assert train.main(["-opt", "stock.yml", "--force_yml", *changes]) == 0
    assert iterations(log(project, "short"))[-1] == 7


def test_two_validation_sets_one_of_them_without_ground_truth(project):
    single = {
        "name": "real",
        "type": "SingleImageDataset",
        "dataroot_lq": "val/lq",
        "io_backend": {"type": "disk"},
    }
    sets = {"train": train_set(project), "val": val_set(project), "val_2": single}
    write_project(project, datasets=sets)
    assert train.main(["-opt", "stock.yml"]) == 0
    assert log(project, "stock").count("Validation real: no ground truth, so no psnr") == 1
    assert "Validation held_out" in log(project, "stock")


def test_the_test_command_restores_and_measures(project):
    assert train.main(["-opt", "stock.yml"]) == 0
    changes = {
        "name": "tested",
        "datasets": {"test_1": val_set(project)},
        "path": {
            "pretrain_network_g": "experiments/stock/models/net_g_latest.pth",
            "strict_load_g": True,
        },
        "val": {
            "save_img": True,
            "suffix": None,
            "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 0}},
        },
    }
    write_project(project, **changes)
    assert test_command.main(["-opt", "stock.yml"]) == 0
    assert "psnr" in log(project, "tested", "test")
    images = project / "results" / "tested" / "visualization" / "held_out"
    assert {file.name for file in images.iterdir()} == {"0_tested.png", "1_tested.png"}


@pytest.mark.parametrize("name", ["../victim", "..", "PLACE/victim"])
def test_a_name_that_is_a_path_touches_no_folder(name, project, tmp_path_factory, capsys):
    place = tmp_path_factory.mktemp("place")
    (place / "victim").mkdir()
    entry = f"name={name.replace('PLACE', str(place))}"
    assert train.main(["-opt", "stock.yml", "--force_yml", entry]) == 2
    assert "write a plain name" in capsys.readouterr().err
    assert [file.name for file in place.iterdir()] == ["victim"]
    assert not (project / "experiments").exists() and not (project / "victim").exists()


def test_basicsr_s_own_commands_refuse_such_a_name_too(project):
    line = command_line(["-opt", "stock.yml", "--force_yml", "name=../victim"])
    with (
        pytest.raises(OptionError, match=r"name: the name '../victim' holds a path separator"),
        line,
    ):
        host_options.parse_options(str(project))


def test_the_root_may_lie_elsewhere(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert (
        train.main(
            ["-opt", "stock.yml", "--root", str(elsewhere), "--force_yml", "train:total_iter=1"]
        )
        == 0
    )
    assert (elsewhere / "experiments" / "stock" / "models" / "net_g_latest.pth").exists()
    assert not (project / "experiments").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["-opt", "missing.yml"], "missing.yml"),
        (
            ["-opt", "stock.yml", "--force_yml", "train:total_itre=3"],
            "did you mean train:total_iter",
        ),
        (
            ["-opt", "stock.yml", "--force_yml", "datasets:train:batch_size_per_gpu=50"],
            "which fill no batch",
        ),
        (["-opt", "stock.yml", "--force_yml", "model_type=SRModle"], "SRModel"),
    ],
)
def test_a_file_that_cannot_be_used_ends_with_exit_code_2(project, capsys, line, message):
    assert train.main(line) == 2
    assert message in capsys.readouterr().err


PLUGIN = """
from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.utils.registry import DATASET_REGISTRY
from wxr_plugin.errors import WxrError

@DATASET_REGISTRY.register()
class BrokenPairs(PairedImageDataset):
    def __getitem__(self, index):
        raise WxrError("all photos are broken; fix them")
"""


def test_an_error_of_a_data_worker_is_one_line(project, capsys):
    (project / "plugin_with_broken_pairs.py").write_text(PLUGIN)
    sets = {
        "train": train_set(project, type="BrokenPairs", num_worker_per_gpu=1),
        "val": val_set(project),
    }
    write_project(project, datasets=sets, plugins=["plugin_with_broken_pairs"])
    assert train.main(["-opt", "stock.yml"]) == 2
    assert (
        capsys.readouterr().err.splitlines()[-1]
        == "python -m wxr_plugin.train: all photos are broken; fix them"
    )


def test_a_project_of_its_own_gains_the_repairs_by_the_import_alone(project):
    from basicsr.train import train_pipeline

    with command_line(["-opt", "stock.yml", "--force_yml", "datasets:train:prefetch_mode=cpu"]):
        train_pipeline(str(project))
    assert (project / "experiments" / "stock" / "training_states" / "6.state").exists()


@pytest.mark.parametrize("command", [train, test_command])
def test_help_describes_the_command_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as left:
        command.main(["--help"])
    text = capsys.readouterr().out
    assert left.value.code == 0 and "examples:" in text and "-opt" in text and "option file" in text


@pytest.mark.slow
def test_two_processes_train_and_resume_on_the_cpu_as_one_with_twice_the_batch(project):
    torchrun = ["torch.distributed.run", "--nproc_per_node", 2, "--master_port"]
    line = [
        "-m",
        "wxr_plugin.train",
        "-opt",
        "stock.yml",
        "--auto_resume",
        "--force_yml",
        "name=two",
    ]
    for total in (4, 6):
        run = begin(*torchrun, free_port(), *line, f"{STEPS}={total}")
        out, _ = run.communicate(timeout=400)
        assert run.returncode == 0, out
    text = log(project, "two")
    assert (
        "Resuming training from epoch: 3, iter: 4" in text
        and iterations(text) == [5, 6]
        and "psnr" in text
    )
    changes = ["name=one", f"{STEPS}=6", "datasets:train:batch_size_per_gpu=4"]
    assert train.main(["-opt", "stock.yml", "--force_yml", *changes]) == 0
    one, two = weights(project, "one")["params"], weights(project, "two")["params"]
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)


@pytest.mark.slow
def test_a_killed_training_resumes(project):
    line = [
        "wxr_plugin.train",
        "-opt",
        "stock.yml",
        "--auto_resume",
        "--force_yml",
        "train:total_iter=100000",
    ]
    run = begin(*line, "logger:print_freq=1000", "val:val_freq=100000")
    states = project / "experiments" / "stock" / "training_states"
    until = time.monotonic() + 120
    while len(list(states.glob("*.state"))) < 5 and time.monotonic() < until:
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    newest = max(int(file.stem) for file in states.glob("*.state"))
    change = ["--force_yml", f"train:total_iter={newest + 2}", "val:val_freq=100000"]
    assert train.main(["-opt", "stock.yml", "--auto_resume", *change]) == 0
    assert f"iter: {newest}" in log(project, "stock") and (states / f"{newest + 2}.state").exists()
