"""A run that is killed again and again ends as one that was left alone."""

import os
import signal
import time

import pytest
import torch
from run_files import finish, start, write_files, write_photos

from wxr_plugin.labels.store import LabelStore, content_hash
from wxr_plugin.wresvlm import records

SLOW = {
    "bright": {"type": "RunBright", "seconds": 0.15},
    "brighter": {"type": "RunBrighter", "seconds": 0.15},
}


def kill_when(folder, happened, only_parent=False):
    process = start(folder)
    deadline = time.monotonic() + 300
    while not happened():
        assert process.poll() is None and time.monotonic() < deadline, (
            folder / "log.txt"
        ).read_text()
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL) if only_parent else os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if only_parent:
        wait_for_the_end_of(process.pid)


def wait_for_the_end_of(session):
    """The training is ended with the run: nothing of its session stays."""
    deadline = time.monotonic() + 20
    while True:
        try:
            os.killpg(session, 0)
        except ProcessLookupError:
            return
        assert time.monotonic() < deadline, "the training survived its run"
        time.sleep(0.05)


def network(folder, stage):
    return torch.load(
        folder / f"work/{stage}/experiments/toy_{stage}/models/net_g_latest.pth", weights_only=True
    )


def labels(folder, stage):
    with LabelStore(folder / f"work/{stage}/labels.lmdb", readonly=True) as store:
        return [
            (row.key, row.rating, row.source, content_hash(row.png))
            for row in store.pseudo_labels()
        ]


@pytest.mark.slow
def test_kills_at_any_point_change_nothing(tmp_path):
    for name in ("calm", "killed"):
        (tmp_path / name).mkdir()
        write_photos(tmp_path / name)
        write_files(tmp_path / name, raters=SLOW)
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    finish(calm, "--until", "round_2")

    calls, work = killed / "calls.txt", killed / "work"
    states = work / "round_1/experiments/toy_round_1/training_states"
    kill_when(killed, lambda: calls.exists() and calls.read_text().count("\n") > 3)  # in init
    kill_when(
        killed, lambda: (states / "2.state").exists(), only_parent=True
    )  # in training, after a checkpoint
    kill_when(killed, lambda: (work / "panel_2").exists())  # between two stages
    kill_when(
        killed, lambda: list((work / "round_2/experiments").glob("*/*.log"))
    )  # in training, before a checkpoint
    output = finish(killed, "--until", "round_2")

    assert "[init] done before, skipped" in output
    assert "[round_2] was stopped, resumes" in output
    for stage in ("round_1", "round_2"):
        ours, theirs = network(killed, stage), network(calm, stage)
        for key in ("params", "params_ema"):
            assert all(
                torch.equal(value, theirs[key][name]) for name, value in ours[key].items()
            ), stage
        assert labels(killed, stage) == labels(calm, stage)
    assert any(source.startswith("teacher") for _, _, source, _ in labels(calm, "round_2"))
    assert not (work / "old").exists()
    assert records.read(work / "round_1").attempts > 1
