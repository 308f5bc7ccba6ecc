"""Time of a forward and a backward pass of the packaged networks, at the sizes of the demo.

    python benchmarks/demo_step.py

It decides which of them the demo starts from. Seconds are of one core, the least of some passes, so
that other work on the machine hardly changes them.
"""

import argparse
import time

import torch
from torch import nn

from wxr_plugin.inference.loading import load_network
from wxr_plugin.inference.packaged import PACKAGED

SIDE, BATCH = 96, 6
"""Side of a crop in pixels, and crops in a batch."""


def main() -> None:
    """Print a line for each network and precision."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--passes", type=int, default=4, metavar="N")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, path in PACKAGED.items():
        net = load_network(path, None, None, True).train().to(memory_format=torch.channels_last)
        count = sum(parameter.numel() for parameter in net.parameters())
        for precision in (torch.float32, torch.bfloat16):
            seconds = min(timed(net, precision) for _ in range(args.passes))
            print(f"{name}, {count / 1e6:.2f} M parameters, {precision}: {seconds:.2f} s")


def timed(net: nn.Module, precision: torch.dtype) -> float:
    """Return the seconds of a core that one forward and one backward pass take."""
    photos = torch.rand(BATCH, 3, SIDE, SIDE).to(memory_format=torch.channels_last)
    begin = time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        restored = net(photos)
    restored.float().mean().backward()
    return time.process_time() - begin


if __name__ == "__main__":
    main()
