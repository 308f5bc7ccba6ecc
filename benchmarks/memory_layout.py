"""Speed of the published networks in channels_last on a CPU; `wxr restore` uses this table.

    # every network of options/train, at full size
    OMP_NUM_THREADS=1 python benchmarks/memory_layout.py
    OMP_NUM_THREADS=1 python benchmarks/memory_layout.py --only prenet msbdn --size 128

A line an option file: microseconds of processor time a pixel in both layouts, how many times as
fast channels_last is, and the largest difference between their results. The two take turns on the
same tile, and the quickest round counts.
"""

import argparse
import copy
import time
from collections.abc import Iterator
from pathlib import Path

import torch

import wxr_plugin  # noqa: F401

# isort: split
from basicsr.archs import build_network
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from wxr_plugin.contributing import network_checks
from wxr_plugin.inference.memory import reuse_memory
from wxr_plugin.options import safe_yaml

OPTIONS = Path(__file__).parents[1] / "options" / "train"


def networks(only: list[str]) -> Iterator[tuple[str, nn.Module]]:
    """Yield names of option files and the network that each trains, built one at a time."""
    for file in sorted(OPTIONS.rglob("*.yml")):
        block = safe_yaml.load(file).get("network_g")
        if (
            isinstance(block, dict)
            and block["type"] != "DaCLIP"
            and (not only or file.stem in only)
        ):
            yield file.stem, build_network(dict(block)).eval().requires_grad_(False)


def measure(net: nn.Module, tile: Tensor, rounds: int) -> tuple[float, float, float]:
    """Return microseconds of processor time a pixel in both layouts, and their difference.

    The first layout is torch's default, the second channels_last.
    """
    kinds = (net, convert_conv2d_weight_memory_format(copy.deepcopy(net), torch.channels_last))
    seconds: tuple[list[float], list[float]] = ([], [])
    with torch.inference_mode():
        first, second = (network_checks.call(kind, tile) for kind in kinds)
        for _ in range(rounds):
            for kind, times in zip(kinds, seconds, strict=True):
                start = time.process_time()
                network_checks.call(kind, tile)
                times.append(time.process_time() - start)
    # The least time is the one that other processes disturbed least.
    usual, last = (min(times) * 1e6 / tile[0, 0].numel() for times in seconds)
    return usual, last, (first - second).abs().max().item()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=[], help="names of option files, without .yml")
    parser.add_argument("--size", type=int, default=256, help="side of the tile")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    reuse_memory()
    torch.manual_seed(0)
    print(
        "| option file | usual, µs a pixel | channels_last | times as fast | apart "
        "|\n|---|---|---|---|---|"
    )
    for name, net in networks(args.only):
        usual, last, apart = measure(
            net, network_checks.photos(1, args.size, args.size), args.rounds
        )
        print(
            f"| {name} | {usual:.2f} | {last:.2f} | {usual / last:.2f} | {apart:.1e} |", flush=True
        )


if __name__ == "__main__":
    main()
