"""Compute memory and hours of the option files for training: `python tools/hardware_table.py FILE`.

What the numbers mean is written in tools/site_pages.py (HARDWARE), which makes a page of the file.
"""

import csv
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import wxr_plugin
from wxr_plugin.archs.context import Context, context_inputs

ROOT = Path(__file__).resolve().parents[1]
SIDE = 128
"""Side in pixels of the image that is run; activations and work are scaled by area."""
STATE = 20
"""Bytes of a parameter in training: weight, gradient, two moments, EMA, in float32."""
SPEED = 0.3 * 165e12
"""Floating-point operations a second: 30 % of an RTX 4090's in bfloat16."""
MEMORY = 16 * 2**30
"""Bytes of address space of a process; a network that needs more is not computed."""
HEAD = ["option file", "network", "parameters (M)", "crop", "batch", "iterations"]
HEAD += ["memory (GiB)", "work (EFLOP)", "hours"]


def main() -> None:
    """Write the table."""
    paths = sorted((ROOT / "options/train").rglob("*.yml"))
    # A process for each, since a network's graph may take gigabytes.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        rows = list(pool.map(row, paths))
    with Path(sys.argv[1]).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([HEAD, *rows])


def row(path: Path) -> list[str]:
    """Return the row of one option file."""
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    print(path, flush=True)
    options = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [str(path.relative_to(ROOT)), *needs(options)]


def needs(options: dict[str, Any]) -> list[str]:
    """Return the cells of one option file; "-" for what cannot be computed here."""
    block, train = options["network_g"], options["datasets"]["train"]
    crop, batch = train.get("gt_size", "-"), train.get("batch_size_per_gpu", "-")
    iterations = options["train"]["total_iter"]
    cells = [block["type"], "-", str(crop), str(batch), str(iterations)]
    try:
        net = built(block)
        flops, activations = cost(net)
    except Exception as error:  # networks of other inputs, or that need a file
        print(f"  not computed: {error!r:.100}", flush=True)
        return [*cells, "-", "-", "-"]
    parameters = sum(parameter.numel() for parameter in net.parameters())
    cells[1] = f"{parameters / 1e6:.2f}"
    if not isinstance(crop, int) or not isinstance(batch, int):
        return [*cells, "-", "-", "-"]
    images = batch * (crop / SIDE) ** 2  # in units of the image that was run
    memory = (STATE * parameters + images * activations) / 2**30
    work = 3 * flops * images * iterations
    return [*cells, f"{memory:.1f}", f"{work / 1e18:.1f}", f"{work / SPEED / 3600:.1f}"]


def built(block: dict[str, Any]) -> nn.Module:
    """Return the network of a `network_g` block, by BasicSR's registry."""
    from basicsr.archs import build_network

    return build_network(dict(block)).train()


def cost(net: nn.Module) -> tuple[float, float]:
    """Return the operations of a forward pass, and the bytes that its backward pass keeps."""
    arguments = [torch.rand(1, 3, SIDE, SIDE)]
    names = context_inputs(net)
    if names:
        embedding = torch.rand(1, net.context_dim)
        arguments.append(Context(**dict.fromkeys(names, embedding)))
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with FlopCounterMode(display=False) as counter, hooks:
        output = net(*arguments)
    weights = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    del output
    return counter.get_total_flops(), sum(v for key, v in kept.items() if key not in weights)


if __name__ == "__main__":
    assert wxr_plugin.__version__  # registers the networks
    main()
