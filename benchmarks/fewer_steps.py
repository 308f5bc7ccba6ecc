"""Quality and cost of the samples of an IR-SDE with fewer steps, by each sampler.

    python benchmarks/fewer_steps.py experiments/tiny_irsde/models/net_g_latest.pth CLEAN_PHOTOS
    [--save samples/]

Synthetic weather is drawn on the clean photos (rain, haze, snow in turn), the same for every row;
`--lq` takes degraded photos instead, under the same names. Of each of the first `--photos` the
middle is cut out. Columns: PSNR and SSIM (RGB) by BasicSR, GMSD by pyiqa (a distance of gradients
without weights; lower is better), and the processor's seconds a crop with one thread, network and
sampler (time.process_time; on a GPU they say nothing). Images are compared as saved, with 8 bits.
The first row is the degraded crop itself. A posterior of one step is the clean image that the
network estimates from noise alone, as a regressor would; `--mean-of` adds the mean of N samples.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch

import wxr_plugin  # noqa: F401

# isort: split
from basicsr.data import build_dataset
from basicsr.metrics import calculate_metric
from basicsr.utils import tensor2img
from torch import Tensor

from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.sampling.options import SamplingOptions
from wxr_plugin.sampling.sampler import METHODS

METRICS = {
    "psnr": {"type": "calculate_psnr", "crop_border": 0},
    "ssim": {"type": "calculate_ssim", "crop_border": 0},
    "gmsd": {"type": "calculate_fr_iqa", "metric": "gmsd"},
}


def read_pairs(args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Read degraded and clean crops, (N, 3, size, size) each, in [0, 1]."""
    severity = {"synthetic": {"severity": [0.2, 1.0]}}
    source = {"dataroot_lq": str(args.lq)} if args.lq else severity
    block = {
        "type": "PairedWeatherDataset",
        "name": "crops",
        "phase": "val",
        "io_backend": {"type": "disk"},
    }
    dataset = build_dataset({**block, "dataroot_gt": str(args.clean), **source})
    items = [dataset[number] for number in range(min(args.photos, len(dataset)))]
    return tuple(
        torch.stack([middle(item[key], args.size) for item in items]) for key in ("lq", "gt")
    )


def middle(image: Tensor, size: int) -> Tensor:
    """Return the square of `size` pixels in the middle of an image (3, H, W)."""
    top, left = (image.shape[1] - size) // 2, (image.shape[2] - size) // 2
    return image[:, top : top + size, left : left + size]


def scores(images: Tensor, clean: Tensor) -> dict[str, float]:
    """Return the means of METRICS over images (N, 3, H, W)."""
    pairs = [
        {"img": tensor2img(image), "img2": tensor2img(truth)}
        for image, truth in zip(images, clean, strict=True)
    ]
    return {
        name: float(np.mean([calculate_metric(pair, how) for pair in pairs]))
        for name, how in METRICS.items()
    }


def sample(restorer: Restorer, lq: Tensor, batch: int) -> tuple[Tensor, float]:
    """Return restorations of `lq` (N, 3, H, W) and the seconds for each."""
    start = time.process_time()
    restored = torch.cat([restorer.restore_tensor(part).cpu() for part in lq.split(batch)])
    return restored, (time.process_time() - start) / len(lq)


def line(name: str, steps: object, means: dict[str, float], cost: float) -> str:
    """Return a row of a Markdown table."""
    figures = f"{means['psnr']:.2f} | {means['ssim']:.4f} | {means['gmsd']:.4f}"
    return f"| {name} | {steps} | {figures} | {cost:.2f} |"


def save(folder: Path | None, name: str, images: Tensor) -> None:
    """Write the crops side by side, as one picture."""
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{name}.png"), np.hstack([tensor2img(image) for image in images]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("clean", type=Path, help="folder of clean photos that no training saw")
    parser.add_argument(
        "--lq", type=Path, help="folder of the same photos degraded (default: synthetic weather)"
    )
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--size", type=int, default=128, help="side of the crops, in pixels")
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 50, 20, 10, 5])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--mean-of", type=int, default=0, metavar="N", help="also a row of the mean of N samples"
    )
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--save", type=Path, help="folder for pictures of the crops")
    args = parser.parse_args()
    torch.set_num_threads(1)
    lq, gt = read_pairs(args)
    save(args.save, "clean", gt)
    save(args.save, "degraded", lq)
    print("| sampler | steps | PSNR | SSIM | GMSD | s a crop |\n|---|---|---|---|---|---|")
    print(line("degraded", "", scores(lq, gt), 0), flush=True)
    for method in args.methods:
        for steps in args.steps:
            for count in filter(None, (1, args.mean_of)):
                restored, cost = mean_sample(args, lq, method, steps, count)
                name = method if count == 1 else f"{method}, mean of {count}"
                save(args.save, f"{method}_{steps}_{count}", restored)
                print(line(name, steps, scores(restored, gt), cost), flush=True)


def mean_sample(
    args: argparse.Namespace, lq: Tensor, method: str, steps: int, count: int
) -> tuple[Tensor, float]:
    """Return the mean of `count` samples of each crop, and the seconds for each crop."""
    total, seconds = torch.zeros_like(lq), 0.0
    for seed in range(args.seed, args.seed + count):
        how = SamplingOptions(method=method, steps=steps, seed=seed)
        restorer = Restorer.from_checkpoint(args.checkpoint, sampling=how)
        restored, cost = sample(restorer, lq, args.batch)
        total, seconds = total + restored / count, seconds + cost
    return total, seconds


if __name__ == "__main__":
    main()
