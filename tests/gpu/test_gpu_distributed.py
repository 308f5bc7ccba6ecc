"""One rank: NCCL on CUDA, gloo on a CPU."""

import subprocess
import sys

import pytest
import torch
import torch.distributed as dist
from toy_runs import ENVIRONMENT, write_options
from toy_training import batches, train

from wxr_plugin.checkpoints.containers import load_weights
from wxr_plugin.utils.ranks import any_rank, gathered

pytestmark = pytest.mark.gpu


@pytest.fixture
def one_rank(device, tmp_path):
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield backend
    dist.destroy_process_group()


def weights(model):
    return torch.cat(
        [p.detach().cpu().flatten() for p in model.get_bare_model(model.net_g).parameters()]
    )


def test_collectives_of_training(one_rank, device):
    assert dist.get_backend() == one_rank
    assert gathered({"rank": 0, "tensor": torch.ones(2)})[0]["rank"] == 0
    assert any_rank(True, device) and not any_rank(False, device)
    dist.barrier()


@pytest.mark.parametrize(
    "settings", [{}, {"accumulate": 2, "nan_guard": {}, "clip_grad": 1.0}, {"channels_last": True}]
)
def test_ddp_on_one_rank_trains_as_without(build, one_rank, settings):
    model, plain = build(dist=True, **settings), build(**settings)
    assert isinstance(model.net_g, torch.nn.parallel.DistributedDataParallel)
    for trained in (model, plain):
        train(trained, batches(4))
    torch.testing.assert_close(weights(model), weights(plain), rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_launched_run_ends_like_a_plain_one(device, tmp_path):
    """The whole pipeline: torchrun, loader processes, pinned memory, fp16 on CUDA, validation."""
    on_cuda = device.type == "cuda"
    options = write_options(
        tmp_path, {"norm": False, "dropout": 0.0}, **({"amp": "fp16"} if on_cuda else {})
    )
    changes = [
        f"num_gpu={int(on_cuda)}",
        "+datasets:train:prefetch_mode=" + device.type,
        "train:total_iter=6",
    ]
    changes += ["+datasets:train:pin_memory=true", "train:trail=false"]
    launchers = {
        "plain": ([], []),
        "launched": (
            ["-m", "torch.distributed.run", "--nproc_per_node=1", "--standalone"],
            ["--launcher", "pytorch"],
        ),
    }
    runs = {}
    for name, (launcher, words) in launchers.items():
        root = tmp_path / name
        root.mkdir()
        command = [
            sys.executable,
            *launcher,
            "-m",
            "wxr_plugin.train",
            "-opt",
            str(options),
            *words,
        ]
        with (root / "log.txt").open("w") as log:
            runs[name] = subprocess.Popen(
                [*command, "--force_yml", *changes],
                cwd=root,
                env=ENVIRONMENT,
                stdout=log,
                stderr=log,
            )
    for name, run in runs.items():
        assert run.wait(300) == 0, (tmp_path / name / "log.txt").read_text()[-3000:]
    plain, launched = (
        load_weights(tmp_path / name / "experiments/toy/models/net_g_latest.pth")
        for name in launchers
    )
    for name, value in plain.items():  # a step changes a weight by up to 1e-2
        torch.testing.assert_close(launched[name], value, rtol=1e-3, atol=1e-3 if on_cuda else 0)
