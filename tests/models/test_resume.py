"""A run that is killed and resumed ends bit-equal to one that is left alone (CPU, float32)."""

import pytest
import torch
from toy_runs import finish, kill_once_there, start, trail, write_options

from wxr_plugin.checkpoints.containers import load_state, load_weights


def differences(one, two, place="state"):
    """Places where two states differ, bit for bit."""
    if type(one) is not type(two):
        return [f"{place}: {type(one)} and {type(two)}"]
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, two) else [place]
    if isinstance(one, dict):
        keys = [] if list(one) == list(two) else [f"{place}: keys {list(one)} and {list(two)}"]
        return keys + [
            d
            for key in one
            if key in two
            for d in differences(one[key], two[key], f"{place}[{key!r}]")
        ]
    if isinstance(one, list | tuple):
        lengths = [] if len(one) == len(two) else [f"{place}: {len(one)} and {len(two)} items"]
        return lengths + [
            d for i, (a, b) in enumerate(zip(one, two)) for d in differences(a, b, f"{place}[{i}]")
        ]
    return [] if one == two else [f"{place}: {one} and {two}"]


@pytest.mark.slow
def test_a_killed_and_resumed_run_ends_bit_equal(tmp_path):
    """Nine pairs in batches of two: four iterations an epoch, so every checkpoint lies within one.

    The toy network has running statistics and dropout; iteration 12 is NaN. The resumed run has no
    loader processes where the first one had two.
    """
    options = write_options(
        tmp_path,
        {"norm": True, "dropout": 0.2},
        pause=0.05,
        poison=[12],
        nan_guard={},
        save_best={"dataset": "held", "metric": "psnr"},
    )
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    runs = start(straight, options), start(killed, options)
    states = killed / "experiments/toy/training_states"
    kill_once_there(runs[1], states / "15.state")
    assert not (states / "25.state").exists()
    (states / "20.state").write_bytes(
        (states / "15.state").read_bytes()[:-500]
    )  # as if cut short by the kill
    (states / ".15.state.abc.tmp").write_bytes(b"half")
    resumed = start(
        killed, options, "--auto_resume", "--force_yml", "datasets:train:num_worker_per_gpu=0"
    )
    log = finish(resumed, killed)
    finish(runs[0], straight)

    assert "20.state" in log and "Resuming training from epoch: 3, iter: 15" in log
    whole, resumed = (
        load_state(root / "experiments/toy/training_states/25.state") for root in (straight, killed)
    )
    assert differences(whole, resumed) == []
    assert (
        whole["guard"] == {"skipped": 1, "in_a_row": 0}
        and whole["best"]["held"]["psnr"]["iter"] > 0
    )
    assert {
        "networks",
        "ema",
        "optimizers",
        "schedulers",
        "scaler",
        "rng",
        "best",
        "extra",
    } < whole.keys()
    assert (
        trail(straight) == trail(killed)
        and 12 not in trail(straight)
        and len(trail(straight)) == 24
    )
    tables = [
        (root / "experiments/toy/validation/held.csv").read_text() for root in (straight, killed)
    ]
    assert tables[0] == tables[1] and tables[0].count("\n") == 1 + 5 * 3
    best = [
        load_weights(root / "experiments/toy/models/net_g_best.pth") for root in (straight, killed)
    ]
    assert differences(*best) == []
    assert not list(states.glob(".*"))
    assert "compute_time" in log and "time (data)" in log
