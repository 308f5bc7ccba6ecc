"""Checkpoints: states are read as they were written, and a crash leaves no partial file."""

import multiprocessing
import os
import random
import resource
import signal
import time
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from wxr_plugin.checkpoints.containers import (
    fit_prefix,
    load_network_options,
    load_state,
    load_weights,
    save_state,
)
from wxr_plugin.checkpoints.reading import CheckpointError

WEIGHTS = {"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.ones(2)}


def test_a_state_keeps_types_and_bits(tmp_path):
    state = {
        "iter": 3,
        "best": {"psnr": float("-inf")},
        "w": torch.rand(3),
        "pair": (1, None, "a"),
        "odd": [True],
    }
    state["milestones"] = Counter({4: 1, 8: 2})
    save_state(tmp_path / "a.state", state)
    loaded = load_state(tmp_path / "a.state")
    assert torch.equal(loaded.pop("w"), state.pop("w")) and loaded == state
    assert list(map(type, loaded.values())) == list(map(type, state.values()))
    assert [p.name for p in tmp_path.iterdir()] == ["a.state"]


def test_types_that_a_safe_load_refuses_are_not_written(tmp_path):
    with pytest.raises(
        TypeError, match=r"state\['best'\]\[1\] is a numpy.float64, which a safe load refuses"
    ):
        save_state(tmp_path / "a.state", {"best": [1.0, np.float64(2)]})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"params": WEIGHTS},
        {"params_ema": WEIGHTS},
        {"params": {k: v * 0 for k, v in WEIGHTS.items()}, "params_ema": WEIGHTS},
        {"state_dict": WEIGHTS, "epoch": 3, "optimizer": {"lr": 0.1}},
        {"model": OrderedDict(WEIGHTS)},
        {"params": {f"module.{k}": v for k, v in WEIGHTS.items()}},
        {"params": {f"_orig_mod.{k}": v for k, v in WEIGHTS.items()}},
        {f"module._orig_mod.{k}": v for k, v in WEIGHTS.items()},
    ],
)
def test_containers(tmp_path, content):
    torch.save(content, tmp_path / "net.pth")
    loaded = load_weights(tmp_path / "net.pth")
    assert loaded.keys() == WEIGHTS.keys() and all(
        torch.equal(loaded[k], WEIGHTS[k]) for k in WEIGHTS
    )


def test_a_key_is_taken_at_its_word_but_for_a_missing_ema(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"params": WEIGHTS, "params_ema": {"w": torch.ones(1)}}, path)
    assert load_weights(path, "params").keys() == WEIGHTS.keys()
    assert load_weights(path, "params_ema").keys() == {"w"}
    torch.save({"params": WEIGHTS}, path)
    assert load_weights(path, "params_ema").keys() == WEIGHTS.keys()
    with pytest.raises(CheckpointError, match=r"no key 'generator'. The file has \['params'\]"):
        load_weights(path, "generator")
    torch.save({"epoch": 3, "lr": 0.1}, path)
    with pytest.raises(CheckpointError, match="no weights"):
        load_weights(path)


def test_safetensors_and_legacy_archives(tmp_path):
    save_file(WEIGHTS, tmp_path / "net.safetensors")
    torch.save({"params": WEIGHTS}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("net.safetensors", "old.pth"):
        loaded = load_weights(tmp_path / name)
        assert all(torch.equal(loaded[k], WEIGHTS[k]) for k in WEIGHTS)
    (tmp_path / "net.safetensors").write_bytes(b"<html>")
    with pytest.raises(CheckpointError, match="safetensors file, or a broken one"):
        load_weights(tmp_path / "net.safetensors")


def test_a_lightning_module_around_the_network_is_seen_through():
    wrapped = {f"net.{k}": v for k, v in WEIGHTS.items()} | {"loss.scale": torch.ones(1)}
    assert fit_prefix(wrapped, WEIGHTS).keys() == WEIGHTS.keys()
    assert fit_prefix(WEIGHTS, WEIGHTS).keys() == WEIGHTS.keys()
    assert fit_prefix(wrapped, ["other"]).keys() == wrapped.keys()


def test_a_full_disk_raises_and_leaves_the_old_state(tmp_path):
    path = tmp_path / "a.state"
    save_state(path, {"iter": 1})
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises((OSError, RuntimeError)):
            save_state(path, {"w": torch.zeros(1_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.state"]


def _save_for_ever(folder):
    for iteration in range(1, 10**6):
        save_state(
            folder / f"{iteration}.state",
            {"iter": iteration, "w": torch.full((200_000,), float(iteration))},
        )


def test_killing_a_save_leaves_no_partial_file(tmp_path):
    """Send SIGKILL at random moments, twenty times: files with final names are whole and load."""
    waits = random.Random(0)
    spent = 0
    for round_ in range(20):
        folder = tmp_path / str(round_)
        folder.mkdir()
        process = multiprocessing.get_context("fork").Process(target=_save_for_ever, args=(folder,))
        process.start()
        while not (folder / "2.state").exists():
            time.sleep(0.001)
        time.sleep(waits.uniform(0, 0.02))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        iterations = sorted(int(p.stem) for p in folder.glob("*.state"))
        spent += len(list(folder.glob(".*.tmp")))
        for iteration in iterations:
            state = load_state(folder / f"{iteration}.state")
            assert state["iter"] == iteration and torch.all(state["w"] == iteration)
    assert spent > 0, "no kill hit a save: the test shows nothing"


def test_entries_that_are_not_weights_are_named(tmp_path):
    torch.save({0: torch.ones(1), 1: torch.ones(1)}, tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match=r"list\.pth: no weights \(entry 0 is a Tensor\)"):
        load_weights(tmp_path / "list.pth")


@pytest.mark.parametrize("stored", ["{no json", "[1, 2]", "3"])
def test_network_options_that_are_no_json_object_are_named(tmp_path, stored):
    save_file({"weight": torch.ones(1)}, tmp_path / "net.safetensors", {"network_g": stored})
    with pytest.raises(
        CheckpointError, match=r"net\.safetensors: its metadata entry 'network_g' is not"
    ):
        load_network_options(tmp_path / "net.safetensors")
