"""tools/gpu/train_packaged.py: what it does around the trainings."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from wxr_plugin.cli.main import main as wxr
from wxr_plugin.data.images.io import write_image
from wxr_plugin.options.files import check_file

FILE = Path(__file__).parents[2] / "tools" / "gpu" / "train_packaged.py"
SPEC = importlib.util.spec_from_file_location("train_packaged", FILE)
train_packaged = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(train_packaged)


def job(folder, device="cuda"):
    return train_packaged.Job(folder / "data", folder / "clean.lmdb", folder / "out", device, 2)


def test_iterations_fill_the_time_and_leave_the_start_out():
    assert train_packaged.fitting(145, 0.1) == pytest.approx(950, abs=1)
    assert train_packaged.fitting(1, 0.1) == train_packaged.PROBE[0]


def test_the_last_checkpoint_counts_where_a_deadline_ended_a_training(tmp_path):
    assert train_packaged.newest(tmp_path) is None
    for iterations in (500, 1500, 1000):
        (tmp_path / f"net_g_{iterations}.pth").touch()
    assert train_packaged.newest(tmp_path).name == "net_g_1500.pth"
    (tmp_path / "net_g_latest.pth").touch()
    assert train_packaged.newest(tmp_path).name == "net_g_latest.pth"


@pytest.mark.parametrize("kind", ["cuda", "cpu"])
@pytest.mark.parametrize("name", train_packaged.SHARES)
def test_the_changed_option_files_pass_the_check(tmp_path, name, kind):
    write_image(tmp_path / "clean" / "a.png", np.zeros((160, 160, 3), np.uint8))
    assert wxr(["lmdb", "build", str(tmp_path / "clean"), str(tmp_path / "clean.lmdb")]) == 0
    command = train_packaged._training(job(tmp_path, kind), name, "run", 300, None)
    file, changes = command[3], command[5:]
    check_file(file, True, changes)


def test_an_interrupted_process_returns_its_output(tmp_path):
    words = ["-c", "import time; print('begun', flush=True); time.sleep(60)"]
    text = job(tmp_path).run(*words, log="sleep", seconds=5)
    assert text == "begun\n"


def test_nothing_to_compare_is_said_in_one_line(tmp_path):
    with pytest.raises(SystemExit, match="train them first"):
        train_packaged.main([str(tmp_path), "--out", str(tmp_path / "out"), "--compare"])
