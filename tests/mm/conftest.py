"""Small trainings under MMEngine's Runner."""

import itertools

import cv2
import numpy as np
import pytest
import torch
from mmengine.runner import Runner

import wxr_plugin.mm  # noqa: F401
from wxr_plugin.data.images.io import write_image

NETWORK = {
    "type": "NAFNet",
    "width": 4,
    "enc_blk_nums": [1],
    "middle_blk_num": 1,
    "dec_blk_nums": [1],
}
_numbers = itertools.count()


def photo(seed: int, size: int = 40) -> np.ndarray:
    """Coloured blobs, uint8 RGB."""
    coarse = np.random.default_rng(seed).random((5, 5, 3), dtype=np.float32)
    return np.uint8(
        255 * np.clip(cv2.resize(coarse, (size, size + 3), interpolation=cv2.INTER_CUBIC), 0, 1)
    )


@pytest.fixture
def one_thread():
    """A forked process hangs where it wants the threads that OpenMP had in its parent."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    """Folders gt and lq with nine pairs for training, and clean photos below val."""
    root = tmp_path_factory.mktemp("pairs")
    for seed in range(9):
        write_image(root / f"gt/{seed}.png", photo(seed))
        write_image(root / f"lq/{seed}.png", photo(seed) // 2 + 60)
    for seed in range(3):
        write_image(root / f"val/{seed}.png", photo(20 + seed))
    return root


@pytest.fixture
def config(pairs, tmp_path):
    """Makes the config of a supervised run in tmp_path; keyword arguments replace its parts."""

    def make(**changes):
        pair = {
            "type": "PairedWeatherDataset",
            "dataroot_gt": str(pairs / "gt"),
            "dataroot_lq": str(pairs / "lq"),
        }
        held = {
            "type": "PairedWeatherDataset",
            "dataroot_gt": str(pairs / "val"),
            "synthetic": {},
            "name": "held",
        }
        psnr = {"type": "calculate_psnr", "crop_border": 0}
        return {
            "experiment_name": f"run{next(_numbers)}",
            "default_scope": "mmengine",
            "work_dir": str(tmp_path / "run"),
            "log_level": "WARNING",
            "randomness": {"seed": 7},
            "model": {
                "type": "WxrSupervised",
                "generator": dict(NETWORK),
                "pixel_loss": {"type": "L1Loss"},
            },
            "train_dataloader": {
                "batch_size": 2,
                "num_workers": 0,
                "drop_last": True,
                "sampler": {"type": "WxrSampler"},
                "collate_fn": {"type": "default_collate"},
                "dataset": {
                    "type": "WxrDataset",
                    "dataset": {**pair, "gt_size": 16, "use_hflip": True},
                },
            },
            "val_dataloader": {
                "batch_size": 1,
                "num_workers": 0,
                "sampler": {"type": "DefaultSampler", "shuffle": False},
                "collate_fn": {"type": "default_collate"},
                "dataset": {"type": "WxrDataset", "dataset": held, "phase": "val"},
            },
            "val_evaluator": {
                "type": "WxrMetrics",
                "measures": {"psnr": psnr, "psnr_y": {**psnr, "test_y_channel": True}},
            },
            "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 6, "val_interval": 3},
            "val_cfg": {"type": "ValLoop"},
            "optim_wrapper": {
                "type": "OptimWrapper",
                "optimizer": {"type": "AdamW", "lr": 1e-3, "weight_decay": 0.0},
            },
            "param_scheduler": {"type": "CosineAnnealingLR", "T_max": 12, "by_epoch": False},
            "default_hooks": {
                "logger": {"type": "LoggerHook", "interval": 1, "log_metric_by_epoch": False},
                "checkpoint": {"type": "CheckpointHook", "interval": 3, "by_epoch": False},
            },
            "custom_hooks": [{"type": "WxrSeedHook"}],
            "log_processor": {"by_epoch": False, "window_size": 1},
            **changes,
        }

    return make


@pytest.fixture
def run(config):
    """Trains what `config(**changes)` describes; the Runner afterwards."""

    def train(**changes):
        runner = Runner.from_cfg(config(**changes))
        runner.train()
        return runner

    return train
