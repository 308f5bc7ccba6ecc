"""Tests of what a GPU does.

`pytest tests/gpu --device cpu` runs what exists on a CPU too, at the same sizes.
"""

import copy
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))  # wxr_toys, toy_training, toy_runs
sys.path.insert(0, str(Path(__file__).parents[2]))  # benchmarks

import wxr_toys  # noqa: F401  registers ToyNet
from basicsr.models import build_model


def pytest_addoption(parser):
    parser.addoption(
        "--device", default="cuda", help="where tests marked gpu run: cuda (default) or cpu"
    )


def pytest_runtest_setup(item):
    """Skip without a device; with `gpu(only_cuda=True)` also on a CPU."""
    marker = item.get_closest_marker("gpu")
    if marker is None:
        return
    name = item.config.getoption("device", "cuda")
    if name.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip(
            "needs a CUDA device; --device cpu runs it on the CPU where the feature exists there"
        )
    if name == "cpu" and marker.kwargs.get("only_cuda"):
        pytest.skip("exists on CUDA only")


@pytest.fixture(scope="session")
def device(request):
    return torch.device(request.config.getoption("device", "cuda"))


@pytest.fixture(autouse=True)
def exact(device):
    """Compute float32 in float32, as a CPU does: TensorFloat32 keeps 10 bits.

    And choose the same kernels each time.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark
    cudnn.allow_tf32 = matmul.allow_tf32 = cudnn.benchmark = False
    yield
    cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark = before
    if device.type == "cuda":
        torch.cuda.empty_cache()


@pytest.fixture
def options(tmp_path, device):
    """Give the options of a training of ToyNet on the device, with changes to its `train` block."""

    def make(model="WxrModel", net=None, dist=False, **train):
        folders = ("experiments_root", "models", "training_states", "visualization")
        return {
            "name": "run",
            "model_type": model,
            "num_gpu": int(device.type == "cuda"),
            "is_train": True,
            "dist": dist,
            "rank": 0,
            "world_size": 1,
            "manual_seed": 3,
            "path": {name: str(tmp_path / name) for name in folders},
            "datasets": {},
            "logger": {"save_checkpoint_freq": 10, "print_freq": 1},
            "network_g": {
                "type": "ToyNet",
                "width": 8,
                "norm": False,
                "dropout": 0.0,
                **(net or {}),
            },
            "train": {
                "total_iter": 20,
                "optim_g": {"type": "AdamW", "lr": 1e-2, "weight_decay": 0.01},
                "scheduler": {"type": "MultiStepLR", "milestones": [3], "gamma": 0.5},
                "pixel_opt": {"type": "L1Loss"},
                **copy.deepcopy(train),
            },
        }

    return make


@pytest.fixture
def build(options):
    """Build a model whose network has the same weights at every call."""

    def make(**settings):
        torch.manual_seed(0)
        return build_model(options(**settings))

    return make
