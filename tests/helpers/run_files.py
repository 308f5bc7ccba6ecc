"""Small runs of WResVLM with toys: photos, training files and the run's own file in a folder."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from wxr_plugin.data.images.io import write_image

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{HERE}:{REPOSITORY}"}

LOADING = {
    "num_worker_per_gpu": 0,
    "batch_size_per_gpu": 2,
    "dataset_enlarge_ratio": 10,
    "io_backend": {"type": "disk"},
}
PAIRS = {"dataroot_gt": "photos/gt", "dataroot_lq": "photos/lq"}
REAL = {"rain": "photos/real/rain", "haze": "photos/real/haze", "snow": "photos/real/snow"}


def write_photos(folder: Path) -> None:
    """Write bright and dark pairs, dark photos of each weather, and a restorer that darkens."""
    rng = np.random.default_rng(0)
    for number in range(3):
        dark = rng.integers(0, 90, (20, 24, 3), dtype=np.uint8)
        write_image(folder / f"photos/lq/{number}.png", dark)
        write_image(folder / f"photos/gt/{number}.png", dark * 2)
    for weather, root in REAL.items():
        for number in range(2):
            photo = rng.integers(10 * len(weather), 100, (22, 26, 3), dtype=np.uint8)
            write_image(folder / root / f"{number}.png", photo)
    weights = {"conv.weight": torch.zeros(3, 3, 3, 3), "conv.bias": torch.full((3,), -0.05)}
    torch.save({"params": weights, "network_g": {"type": "RunNet"}}, folder / "dark.pth")


def training(model: str, train: dict, dataset: dict, iterations: int) -> dict[str, Any]:
    """Write a training file with the toy network."""
    return {
        "name": "file",
        "model_type": model,
        "plugins": ["run_toys"],
        "num_gpu": 0,
        "manual_seed": 3,
        "scale": 1,
        "datasets": {
            "train": {
                "name": "train",
                **dataset,
                **LOADING,
                "io_backend": {"type": "disk"},
                "gt_size": 16,
            }
        },
        "network_g": {"type": "RunNet"},
        "path": {},
        "train": {
            "total_iter": iterations,
            "ema_decay": 0.5,
            "optim_g": {"type": "AdamW", "lr": 1e-2},
            "scheduler": {"type": "CosineAnnealingLR", "eta_min": 1e-4},
            "pixel_opt": {"type": "L1Loss"},
            **train,
        },
        "logger": {"print_freq": 1, "save_checkpoint_freq": 2, "use_tb_logger": False},
    }


def write_files(folder: Path, **changes: Any) -> dict[str, Any]:
    """Write run.yml, round.yml and supervised.yml for two rounds of four iterations.

    Return the options of the run.
    """
    semi = {
        "type": "SemiSupervisedDataset",
        "paired": PAIRS,
        "real": {"dataroot": REAL, "boxes_per_image": 2},
    }
    round_file = training("WResVLMModel", {"pseudo_opt": {"type": "PseudoLabelLoss"}}, semi, 99)
    supervised = training("WxrModel", {}, {"type": "PairedWeatherDataset", **PAIRS}, 2)
    run = {
        "name": "toy",
        "work": "work",
        "plugins": ["run_toys"],
        "train": {"opt": "round.yml"},
        "raters": {"bright": {"type": "RunBright"}, "brighter": {"type": "RunBrighter"}},
        "panel": ["bright", "brighter"],
        "init": {"restorers": ["dark.pth"]},
        "rounds": [{"rater": "bright", "iterations": 4}, {"rater": "brighter", "iterations": 4}],
        "report": {"rater": "brighter"},
        **changes,
    }
    for name, opt in {"round": round_file, "supervised": supervised, "run": run}.items():
        (folder / f"{name}.yml").write_text(yaml.safe_dump(opt))
    return run


def start(folder: Path, *words: str) -> subprocess.Popen:
    """Start `wxr wresvlm run` in `folder`, in a session of its own; log to log.txt."""
    command = [
        sys.executable,
        "-m",
        "wxr_plugin.cli.main",
        "wresvlm",
        "run",
        "-opt",
        "run.yml",
        *words,
    ]
    with open(folder / "log.txt", "a") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=ENVIRONMENT,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def finish(folder: Path, *words: str) -> str:
    """Run the command as `start` does, assert that it ends well, and return its output."""
    before = len((folder / "log.txt").read_text()) if (folder / "log.txt").exists() else 0
    code = start(folder, *words).wait(timeout=400)
    output = (folder / "log.txt").read_text()[before:]
    assert code == 0, output
    return output
