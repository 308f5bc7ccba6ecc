"""Two processes on the CPU: both ranks drop, average and store the same."""

import multiprocessing
import os

import pytest
import torch
import torch.distributed as dist
from mmengine.hooks import Hook
from mmengine.runner import Runner
from test_semi_supervised import labels_of, semi  # noqa: F401

from wxr_plugin.checkpoints.reading import read_dict


class PoisonOne(Hook):
    """A bad image on the last rank, in iteration 2; every rank writes down its batches."""

    def __init__(self, folder):
        self.folder = folder

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        rank = dist.get_rank()
        with open(self.folder / f"keys_{rank}.txt", "a") as file:
            file.writelines(f"{key}\n" for key in data_batch["real_key"])
        if runner.iter == 1 and rank == 1:
            data_batch["lq"][0] = float("nan")


def _rank(rank, config, folder):
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": "2",
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": "2",
    }
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    runner = Runner.from_cfg(config)
    runner.register_hook(PoisonOne(folder))
    runner.train()
    torch.save(runner.model.module.state_dict(), folder / f"end_{rank}.pth")
    dist.barrier()


@pytest.mark.slow
def test_two_processes_train_one_network(semi, tmp_path, one_thread):  # noqa: F811
    config = semi("run", strong_augment=None)
    config |= {
        "launcher": "pytorch",
        "model_wrapper_cfg": {"type": "MMDistributedDataParallel", "device_ids": None},
    }
    config["train_dataloader"]["batch_size"] = 1
    fork = multiprocessing.get_context("fork")
    ranks = [fork.Process(target=_rank, args=(rank, config, tmp_path)) for rank in (0, 1)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(240)
    assert [process.exitcode for process in ranks] == [0, 0]
    ends = [torch.load(tmp_path / f"end_{rank}.pth") for rank in (0, 1)]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    state = read_dict(tmp_path / "run/iter_6.pth")
    assert state["wxr_nan_guard"] == {"skipped": 1, "in_a_row": 0}
    keys = [(tmp_path / f"keys_{rank}.txt").read_text().split() for rank in (0, 1)]
    assert len(keys[0]) == len(keys[1]) == 6 and keys[0] != keys[1]
    assert set(state["wxr_labels"]["ratings"]) == set(labels_of(tmp_path / "run"))
    assert labels_of(tmp_path / "run").keys() <= set(keys[0]) | set(keys[1])
    assert not labels_of(tmp_path / "run").keys() <= set(keys[0])
