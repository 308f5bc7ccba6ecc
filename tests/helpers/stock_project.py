"""A BasicSR user's small project: pairs of images in folders, and stock types in its options."""

import socket
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml


def write_pairs(folder: Path, count: int = 6, size: int = 32, seed: int = 0) -> None:
    """Write `count` PNGs each into folder/gt and folder/lq, the latter with noise."""
    rng = np.random.default_rng(seed)
    for kind in ("gt", "lq"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        gt = cv2.resize(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), (size, size))
        lq = np.clip(gt.astype(int) + rng.integers(-30, 30, gt.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "gt" / f"{i}.png"), gt)
        cv2.imwrite(str(folder / "lq" / f"{i}.png"), lq)


def options(root: Path, **changes: Any) -> dict[str, Any]:
    """Return options of a training on root/train and root/val; `changes` replace top-level keys."""
    blocks = {
        "name": "stock",
        "model_type": "SRModel",
        "scale": 1,
        "num_gpu": 0,
        "manual_seed": 7,
        "datasets": {"train": train_set(root), "val": val_set(root)},
        "network_g": {"type": "SRVGGNetCompact", "num_feat": 4, "num_conv": 1, "upscale": 1},
        "path": {"pretrain_network_g": None, "strict_load_g": True, "resume_state": None},
        "train": {
            "ema_decay": 0.9,
            "optim_g": {"type": "Adam", "lr": 1e-3, "betas": [0.9, 0.99]},
            "scheduler": {"type": "MultiStepLR", "milestones": [4], "gamma": 0.5},
            "total_iter": 6,
            "warmup_iter": -1,
            "pixel_opt": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"},
        },
        "val": {
            "val_freq": 3,
            "save_img": False,
            "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 0}},
        },
        "logger": {
            "print_freq": 1,
            "save_checkpoint_freq": 2,
            "use_tb_logger": False,
            "wandb": None,
        },
        "dist_params": {"backend": "nccl", "port": 29500},
    }
    return {**blocks, **changes}


def train_set(root: Path, **changes: Any) -> dict[str, Any]:
    """Return the block of the training set, with stock's keys."""
    block = {
        "name": "pairs",
        **_pairs(root / "train"),
        "gt_size": 16,
        "use_hflip": True,
        "use_rot": True,
        "num_worker_per_gpu": 0,
        "batch_size_per_gpu": 2,
        "dataset_enlarge_ratio": 1,
        "prefetch_mode": None,
    }
    return {**block, **changes}


def val_set(root: Path, **changes: Any) -> dict[str, Any]:
    """Return the block of the validation set."""
    return {"name": "held_out", **_pairs(root / "val"), **changes}


def _pairs(folder: Path) -> dict[str, Any]:
    """Return the keys of a set of pairs in the folders gt and lq of `folder`."""
    return {
        "type": "PairedImageDataset",
        "dataroot_gt": str(folder / "gt"),
        "dataroot_lq": str(folder / "lq"),
        "io_backend": {"type": "disk"},
    }


def write_project(root: Path, **changes: Any) -> Path:
    """Write images and option file below `root`; return the file's path."""
    write_pairs(root / "train")
    write_pairs(root / "val", count=2, seed=1)
    path = root / "stock.yml"
    path.write_text(yaml.safe_dump(options(root, **changes), sort_keys=False))
    return path


def free_port() -> int:
    """Return a TCP port without a listener."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
