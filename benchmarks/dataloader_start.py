"""Cost of starting data loader workers by spawn, as stock BasicSR does, instead of by fork.

    python benchmarks/dataloader_start.py --iterations 10 --epochs 3 --workers 2

Each way trains on nothing: it fetches `iterations` batches in each of `epochs` epochs, as
train_pipeline does. The ways take turns within one run, so that their ratio does not depend on what
else the machine does meanwhile.
"""

import argparse
import time

import wxr_plugin  # noqa: F401

# isort: split
import numpy as np
import torch
from basicsr.data import build_dataloader
from basicsr.data.data_sampler import EnlargedSampler
from basicsr.data.prefetch_dataloader import CPUPrefetcher
from torch.utils.data import Dataset

WAYS = {"spawn": ("spawn", False), "fork": ("fork", False), "spawn, persistent": ("spawn", True)}


class Noise(Dataset):
    """Small images out of nowhere, so that the start of the workers is what takes time."""

    opt = {"name": "noise"}

    def __init__(self, size: int):
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"lq": torch.from_numpy(np.random.rand(3, 64, 64).astype(np.float32))}


def seconds(method: str, persistent: bool, iterations: int, epochs: int, workers: int) -> float:
    """Return the time of `epochs` epochs, from the first worker's start to the last batch."""
    data = Noise(4 * iterations)
    block = {
        "phase": "train",
        "batch_size_per_gpu": 4,
        "num_worker_per_gpu": workers,
        "persistent_workers": persistent,
    }
    sampler = EnlargedSampler(data, 1, 0)
    loader = build_dataloader(data, block, num_gpu=0, sampler=sampler, seed=0)
    loader.multiprocessing_context = method
    prefetcher = CPUPrefetcher(loader)
    start = time.perf_counter()
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        prefetcher.reset()
        while prefetcher.next() is not None:
            pass
    return time.perf_counter() - start


def main() -> None:
    """Measure every way `--repeats` times in turn and print the medians and their ratio to fork."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--iterations", type=int, default=10, help="batches an epoch")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    times_of = {name: [] for name in WAYS}
    for _ in range(args.repeats):
        for name, (method, persistent) in WAYS.items():
            times_of[name].append(
                seconds(method, persistent, args.iterations, args.epochs, args.workers)
            )
    medians = {name: float(np.median(times)) for name, times in times_of.items()}
    print(
        f"{args.epochs} epochs of {args.iterations} batches, {args.workers} workers, median of "
        f"{args.repeats}"
    )
    for name, median in medians.items():
        print(f"{name:18s} {median:7.2f} s   {median / medians['fork']:6.1f} x fork")


if __name__ == "__main__":
    main()
