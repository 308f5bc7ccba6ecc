"""Real-ESRGAN's degradation on the CPU, in models of BasicSR and in copies of other projects."""

import inspect
import random
import sys
import types

import numpy as np
import pytest
import torch
import toy_option_files
from basicsr.models import build_model
from basicsr.models.realesrnet_model import RealESRNetModel
from basicsr.utils import DiffJPEG, USMSharp
from basicsr.utils.img_process_util import filter2D
from basicsr.utils.registry import MODEL_REGISTRY
from torch import nn

from wxr_plugin.utils.staying_on_cpu import StayOnCPU, on_device_of, runs_on_cpu

KERNELS = ("kernel1", "kernel2", "sinc_kernel")


@pytest.fixture
def opt(tmp_path):
    """Return options of a RealESRNetModel whose pool holds two batches."""
    opt = toy_option_files.parse(toy_option_files.DEGRADATION, tmp_path)
    opt |= {
        "num_gpu": 0,
        "is_train": True,
        "dist": False,
        "scale": 2,
        "gt_size": 16,
        "queue_size": 4,
    }
    opt["network_g"] = {"type": "SRVGGNetCompact", "num_feat": 4, "num_conv": 1, "upscale": 2}
    opt["train"] = {
        "optim_g": {"type": "Adam", "lr": 1e-3, "betas": [0, 0.99]},
        "scheduler": {"type": "MultiStepLR", "milestones": [4]},
        "pixel_opt": {"type": "L1Loss"},
        "total_iter": 4,
    }
    return opt | {"path": {"pretrain_network_g": None, "strict_load_g": True}}


def batch(seed: int) -> dict[str, torch.Tensor]:
    """Return two images and their blur kernels, as RealESRGANDataset yields them."""
    generator = torch.Generator().manual_seed(seed)
    kernels = {name: torch.full((2, 21, 21), 1 / 21**2) for name in KERNELS}
    return {"gt": torch.rand(2, 3, 32, 32, generator=generator), **kernels}


def degrade_and_train(model, steps: int = 5) -> None:
    """Feed and update, past the point where the pool of samples is full."""
    random.seed(0)
    np.random.seed(0)
    for step in range(1, steps + 1):
        model.feed_data(batch(step))
        model.optimize_parameters(step)
    assert model.lq.shape == (2, 3, 8, 8) and model.gt.shape == (2, 3, 16, 16)
    assert model.lq.device.type == model.queue_lr.device.type == "cpu"
    assert np.isfinite(model.log_dict["l_pix"])


@pytest.mark.parametrize("build", [RealESRNetModel, build_model])
def test_basicsrs_own_model_degrades_on_the_cpu(opt, build):
    degrade_and_train(build(opt))


@pytest.fixture
def copied():
    """Yield a project's own RealESRNetModel with the `.cuda()` calls of the original."""
    module = types.ModuleType("their_realesrgan")
    sys.modules["their_realesrgan"] = module
    source = inspect.getsource(sys.modules[RealESRNetModel.__module__]).replace(
        "(suffix='basicsr')", "()"
    )
    assert source.count(".cuda()") == 4
    exec(compile(source, "their_realesrgan", "exec"), vars(module))
    yield module.RealESRNetModel
    del MODEL_REGISTRY._obj_map["RealESRNetModel"], sys.modules["their_realesrgan"]


def test_another_projects_copy_does_too(opt, copied):
    model = build_model(opt)
    assert type(model) is copied
    degrade_and_train(model)


def test_only_calls_of_cuda_are_ignored():
    with StayOnCPU():
        assert torch.zeros(2).cuda().device.type == "cpu" and torch.ones(2).add(1).sum() == 4
        for module in (DiffJPEG(), USMSharp(), nn.Linear(2, 2)):
            assert {tensor.device.type for tensor in module.cuda().state_dict().values()} <= {"cpu"}


def test_with_a_gpu_in_use_nothing_is_ignored(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert not runs_on_cpu({"num_gpu": 1}) and runs_on_cpu({"num_gpu": 0})
    assert not isinstance(on_device_of({"num_gpu": 1}), StayOnCPU)


@pytest.mark.parametrize("kernels", [1, 2])
def test_the_blur_accepts_the_output_of_the_jpeg_simulator(kernels):
    image = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    kernel = torch.rand(kernels, 5, 5, generator=torch.Generator().manual_seed(1))
    turned = image.to(memory_format=torch.channels_last)
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        filter2D.__wrapped__(turned, kernel)
    assert filter2D(turned, kernel).equal(filter2D.__wrapped__(image, kernel))
