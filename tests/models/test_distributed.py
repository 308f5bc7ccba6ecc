"""Two processes under torchrun (CPU, gloo): they train as one, share out validation, and resume."""

import csv
import shutil

import pytest
import torch
from test_resume import differences
from toy_runs import finish, start, trail, write_options
from wxr_toys import ToyNet

from wxr_plugin.checkpoints.containers import load_state, load_weights

EVERY_SIX = "--force_yml", "val:val_freq=6", "logger:save_checkpoint_freq=6"


def gradients_of_one_process(first):
    """Gradients of the same network for the batches of all ranks at once."""
    net = ToyNet(norm=True, dropout=0.2).eval()
    net.load_state_dict(first[0]["net"])
    lq, gt = (torch.cat([rank[key] for rank in first]) for key in ("lq", "gt"))
    torch.nn.functional.l1_loss(net(lq), gt).backward()
    return [p.grad for p in net.parameters()]


@pytest.mark.slow
def test_two_processes_train_validate_and_resume(tmp_path):
    """Iteration 4 is NaN on rank 1 alone; the second run resumes from iteration 6 instead of 12."""
    options = write_options(
        tmp_path,
        {"norm": True, "dropout": 0.2},
        poison=[4],
        nan_guard={"stop_after": 2},
        save_best={"dataset": "held", "metric": "psnr"},
        total_iter=12,
        clip_grad=1e6,
        keep=2,
    )
    log = finish(start(tmp_path, options, *EVERY_SIX, processes=2), tmp_path)
    run = tmp_path / "experiments/toy"

    ranks = [trail(tmp_path, rank) for rank in (0, 1)]
    assert ranks[0].keys() == ranks[1].keys() == set(range(1, 13)) - {4}, (
        "both drop the update that is bad on one"
    )
    assert "iteration 4" in log
    for one, two in zip(*(rank.values() for rank in ranks)):
        assert one.split()[3] == two.split()[3], "the same weights on both"
        assert one.split()[1] != two.split()[1], "of different images"

    first = [torch.load(run / f"first_{rank}.pth", weights_only=True) for rank in (0, 1)]
    for ours, expected in zip(first[0]["grads"], gradients_of_one_process(first)):
        assert torch.allclose(ours, expected, rtol=0, atol=1e-6) and expected.abs().max() > 1e-3

    with open(run / "validation/held.csv") as table:
        rows = [(row["iter"], row["image"]) for row in csv.DictReader(table)]
    assert sorted(rows) == sorted((i, f"held{k}") for i in ("6", "12") for k in range(3))

    straight = load_state(run / "training_states/12.state")
    assert len(straight["rng"]) == 2 and differences(*straight["rng"]), (
        "each rank has random generators of its own"
    )
    assert straight["guard"]["skipped"] == 1
    table = (run / "validation/held.csv").read_text()
    best = load_weights(run / "models/net_g_best.pth")
    for late in (
        run / "training_states/12.state",
        run / "models/net_g_12.pth",
        run / "models/net_g_best.pth",
    ):
        late.unlink()
    shutil.move(run / "validation", tmp_path / "old")
    log = finish(start(tmp_path, options, "--auto_resume", *EVERY_SIX, processes=2), tmp_path)
    assert "Resuming training from epoch: 2, iter: 6" in log
    assert differences(straight, load_state(run / "training_states/12.state")) == []
    assert (run / "validation/held.csv").read_text() == table
    assert differences(best, load_weights(run / "models/net_g_best.pth")) == []
