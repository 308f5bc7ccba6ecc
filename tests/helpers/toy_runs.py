"""Whole training runs of the toy model as processes of their own, as a user starts them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import yaml

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{HERE}:{HERE.parents[1]}"}


def make_pairs(folder: Path, count: int, seed: int) -> dict:
    """Write random pairs of PNGs into `folder`; return the keys of a dataset block for them."""
    generator = np.random.default_rng(seed)
    for kind in ("gt", "lq"):
        (folder / kind).mkdir(parents=True)
        for i in range(count):
            image = generator.integers(0, 256, (18 + i % 3, 23, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / kind / f"{folder.name}{i}.png"), image)
    roots = {"dataroot_gt": str(folder / "gt"), "dataroot_lq": str(folder / "lq")}
    return {"type": "PairedImageDataset", **roots, "io_backend": {"type": "disk"}}


def write_options(folder: Path, net: dict, **train: object) -> Path:
    """Write an option file for a toy run on nine pairs, validated on three."""
    loading = {
        "gt_size": 16,
        "use_hflip": True,
        "use_rot": True,
        "num_worker_per_gpu": 2,
        "batch_size_per_gpu": 2,
    }
    options = {
        "name": "toy",
        "model_type": "ToyModel",
        "plugins": ["wxr_toys"],
        "scale": 1,
        "num_gpu": 0,
        "manual_seed": 7,
        "datasets": {
            "train": {"name": "train", **make_pairs(folder / "train", 9, 0), **loading},
            "val": {"name": "held", **make_pairs(folder / "held", 3, 1)},
        },
        "network_g": {"type": "ToyNet", **net},
        "path": {},
        "train": {
            "total_iter": 25,
            "warmup_iter": 4,
            "ema_decay": 0.9,
            "optim_g": {"type": "AdamW", "lr": 1e-2, "weight_decay": 0.01},
            "scheduler": {"type": "CosineAnnealingLR", "eta_min": 1e-4},
            "pixel_opt": {"type": "L1Loss"},
            "trail": True,
            **train,
        },
        "val": {
            "val_freq": 5,
            "save_img": False,
            "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 0}},
        },
        "logger": {"print_freq": 5, "save_checkpoint_freq": 5, "use_tb_logger": False},
    }
    path = folder / "toy.yml"
    path.write_text(yaml.safe_dump(options))
    return path


def start(root: Path, options: Path, *arguments: str, processes: int = 1) -> subprocess.Popen:
    """Start a training whose experiments/ lie below `root`; log to root/log.txt."""
    root.mkdir(exist_ok=True)
    launch = [sys.executable]
    if processes > 1:
        launch += ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--standalone"]
        arguments = (*arguments, "--launcher", "pytorch")
    command = [*launch, "-m", "wxr_plugin.train", "-opt", str(options), *arguments]
    with open(root / "log.txt", "a") as log:
        return subprocess.Popen(
            command, cwd=root, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True
        )


def finish(process: subprocess.Popen, root: Path) -> str:
    """Wait for a run that must end well; its output."""
    code = process.wait(timeout=240)
    log = (root / "log.txt").read_text()
    assert code == 0, log
    return log


def kill_once_there(process: subprocess.Popen, file: Path) -> None:
    """Send SIGKILL to a run and all its processes as soon as `file` exists."""
    deadline = time.monotonic() + 240
    while not file.exists():
        assert process.poll() is None and time.monotonic() < deadline, (
            "the run ended before it could be killed"
        )
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def trail(root: Path, rank: int = 0) -> dict[int, str]:
    """Return iteration -> the rest of its line, the last one of a repeated iteration."""
    lines = (root / f"experiments/toy/trail_{rank}.txt").read_text().splitlines()
    return {int(line.split()[0]): line for line in lines}
