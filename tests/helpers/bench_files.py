"""Small networks with random weights, small photos and option files for tests of the benchmark."""

import csv
import json
from pathlib import Path

import numpy as np
import torch
import yaml
from basicsr.archs import build_network
from safetensors.torch import save

from wxr_plugin.cli import main as cli
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.packaged_photos import packaged_photo, weathered

MSBDN = {
    "type": "MSBDN",
    "width": 4,
    "bottleneck_blocks": 1,
    "stage_blocks": 1,
    "global_residual": True,
}
NAFNET = {"type": "NAFNet", "width": 4, "enc_blk_nums": [1], "dec_blk_nums": [1]}
RESTORMER = {
    "type": "Restormer",
    "dim": 8,
    "num_blocks": [1, 1, 1, 1],
    "num_refinement_blocks": 1,
    "heads": [1, 1, 1, 1],
}
PRENET = {"type": "PReNet", "stages": 2, "width": 8}
NETWORKS = {"msbdn": MSBDN, "nafnet": NAFNET, "restormer": RESTORMER, "prenet": PRENET}
TIMED = ("seconds", "peak_mib")


def checkpoint(file: Path, network: dict = NAFNET, seed: int = 0) -> str:
    """Write a checkpoint of random weights that names its network; return its path."""
    torch.manual_seed(seed)
    net = build_network(dict(network))
    weights = {name: value.contiguous() for name, value in net.state_dict().items()}
    file.write_bytes(save(weights, {"network_g": json.dumps(network)}))
    return str(file)


def net_file(folder: Path) -> str:
    """Write the checkpoint that most tests use; return its path."""
    return checkpoint(folder / "net.safetensors")


def photos(folder: Path, number: int = 4, side: int = 48) -> dict[str, str]:
    """Write pairs input{}/norain{} of different scenes into lq/ and gt/; return the set's block."""
    for index in range(number):
        name = ("astronaut", "chelsea", "coffee", "china", "flower", "rocket")[index % 6]
        top = 40 + 30 * (index // 6)
        gt = np.ascontiguousarray(
            packaged_photo(name)[top : top + 4 * side : 4, 100 : 100 + 4 * (side + 9) : 4]
        )
        write_image(folder / "gt" / f"norain{index}.png", gt)
        write_image(
            folder / "lq" / f"input{index}.png", weathered(gt, "rain", 0.5, index, "default")
        )
    return {
        "lq": str(folder / "lq"),
        "gt": str(folder / "gt"),
        "filename_tmpl": "input{}",
        "gt_tmpl": "norain{}",
        "task": "rain",
    }


def write(folder: Path, **changes) -> Path:
    """Write an option file; `changes` replace its top keys, None removes one."""
    opt = {
        "name": "toy",
        "output": str(folder / "out"),
        "device": "cpu",
        "methods": changes.get("methods")
        or {"input": None, "net": {"checkpoint": net_file(folder)}},
        "sets": changes.get("sets") or {"rain": photos(folder)},
        "metrics": ["psnr", "ssim_y"],
        **changes,
    }
    file = folder / "bench.yml"
    file.write_text(
        yaml.safe_dump(
            {key: value for key, value in opt.items() if value is not None}, sort_keys=False
        )
    )
    return file


def run(file: Path, *arguments: str) -> int:
    """Return the exit code of `wxr benchmark`."""
    return cli.main(["benchmark", "-opt", str(file), *arguments])


def rows(folder: Path, *without: str) -> list[dict[str, str]]:
    """Return rows.csv of FOLDER/out, without some columns."""
    with (folder / "out" / "rows.csv").open(newline="") as file:
        return [
            {key: value for key, value in row.items() if key not in without}
            for row in csv.DictReader(file)
        ]


def cell(folder: Path, method: str, image: str, column: str) -> str:
    """Return one cell of rows.csv."""
    return next(
        row[column] for row in rows(folder) if (row["method"], row["image"]) == (method, image)
    )
