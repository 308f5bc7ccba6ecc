"""Toy models in one process."""

import cv2
import numpy as np
import pytest
import torch
import wxr_toys  # noqa: F401
from basicsr.models import build_model

PSNR = {"type": "calculate_psnr", "crop_border": 0}


@pytest.fixture
def options(tmp_path):
    """Options of a run in tmp_path, with changes to its `train` block and network."""

    def make(model="WxrModel", net=None, val=None, **train):
        sets = {f"val_{i}": {"phase": "val", **dataset} for i, dataset in enumerate(val or [])}
        return {
            "name": "run",
            "model_type": model,
            "num_gpu": 0,
            "is_train": True,
            "dist": False,
            "rank": 0,
            "world_size": 1,
            "manual_seed": 3,
            "path": {
                "experiments_root": str(tmp_path),
                "models": str(tmp_path / "models"),
                "training_states": str(tmp_path / "training_states"),
                "visualization": str(tmp_path / "visualization"),
            },
            "datasets": sets,
            "val": {"val_freq": 5, "save_img": False, "metrics": {"psnr": PSNR}},
            "logger": {"save_checkpoint_freq": 10, "print_freq": 1},
            "network_g": {"type": "ToyNet", "norm": False, "dropout": 0.0, **(net or {})},
            "train": {
                "total_iter": 20,
                "optim_g": {"type": "Adam", "lr": 1e-2},
                "scheduler": {"type": "MultiStepLR", "milestones": [3], "gamma": 0.5},
                "pixel_opt": {"type": "L1Loss"},
                **train,
            },
        }

    return make


@pytest.fixture
def build(options):
    def make(**settings):
        torch.manual_seed(0)
        return build_model(options(**settings))

    return make


@pytest.fixture
def photos(tmp_path):
    """Two sets below tmp_path: pairs of odd sizes, and photos without ground truth."""
    generator = np.random.default_rng(0)
    for folder, count in (("gt", 3), ("lq", 3), ("real", 2)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            image = generator.integers(0, 256, (13 + i, 17, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / folder / f"photo{i}.png"), image)
    disk = {"io_backend": {"type": "disk"}, "scale": 1}
    pairs = {
        "name": "pairs",
        "type": "PairedImageDataset",
        "dataroot_gt": str(tmp_path / "gt"),
        **disk,
    }
    pairs["dataroot_lq"] = str(tmp_path / "lq")
    real = {
        "name": "real",
        "type": "SingleImageDataset",
        "dataroot_lq": str(tmp_path / "real"),
        **disk,
    }
    return pairs, real
