"""The cost of restoring: parameters, multiplications, memory and time."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from wxr_plugin.inference.restorer import Restorer

SIDE = 256
"""Side in pixels of the square on which a network is warmed up and its operations are counted."""
MIB = 2**20


class Taken:
    """Cost of the block of `measured`: wall-clock seconds, and peak memory in MiB if known."""

    seconds: float = 0.0
    peak_mib: float | None = None


@contextlib.contextmanager
def measured(device: torch.device, before: float | None) -> Iterator[Taken]:
    """Measure the block and yield the object that has the result after it.

    On CUDA the peak is the memory of torch's allocator, the network included. On the CPU it is the
    growth of the process' resident memory, which only Linux reports.

    Args:
        device: where the network runs.
        before: `memory_used()` from before the network was loaded.
    """
    taken = Taken()
    cuda = device.type == "cuda"
    # CUDA kernels run asynchronously, so the clock is read only when all of them are done.
    if cuda:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    else:
        _forget_peak()
    start = time.perf_counter()
    yield taken
    if cuda:
        torch.cuda.synchronize(device)
    taken.seconds = time.perf_counter() - start
    if cuda:
        taken.peak_mib = torch.cuda.max_memory_allocated(device) / MIB
    elif device.type == "cpu" and before is not None:
        peak = _status("VmHWM")  # "high water mark" of resident memory
        if peak is not None:
            taken.peak_mib = max(peak - before, 0.0)


def memory_used() -> float | None:
    """Return the resident memory of this process in MiB; None if the system does not report it."""
    return _status("VmRSS")


def warm_up(restorer: "Restorer", photo: np.ndarray) -> None:
    """Restore a square of the photo, so that one-time costs do not count for the first photo."""
    restorer.restore(square(photo))


def parameters(restorer: "Restorer") -> int:
    """Return the number of parameters of the network, without those of a guide."""
    return sum(parameter.numel() for parameter in restorer.net.parameters())


def macs_per_megapixel(restorer: "Restorer", photo: np.ndarray) -> float:
    """Return the multiply-accumulate operations (MACs) per million pixels.

    They are counted on a square of SIDE pixels, all sampling steps and a guide included, and
    scaled by area. Attention over the whole image costs more on larger photos than that; for such
    networks this is the cost in tiles of SIDE pixels.

    Raises:
        RuntimeError: torch counts no operation of the network.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        restorer.restore(square(photo))
    flops = counter.get_total_flops()
    if not flops:
        raise RuntimeError("torch counts no operation of this network")
    # A MAC is two floating-point operations.
    macs = flops / 2
    return macs / SIDE**2 * 1e6


def square(photo: np.ndarray) -> np.ndarray:
    """Return the upper left SIDE x SIDE pixels of an image (H, W, 3), mirrored if it is smaller."""
    part = photo[:SIDE, :SIDE]
    height, width = part.shape[:2]
    padding = [(0, SIDE - height), (0, SIDE - width), (0, 0)]
    padded = np.pad(part, padding, mode="symmetric")
    return np.ascontiguousarray(padded)


def _status(key: str) -> float | None:
    """Return a line of Linux' /proc/self/status, which is in KiB, in MiB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        line = next(line for line in lines if line.startswith(f"{key}:"))
        # For example "VmRSS:  123456 kB".
        _, kib, _ = line.split()
        return float(kib) / 1024
    except (OSError, StopIteration, ValueError):
        return None


def _forget_peak() -> None:
    """Reset the peak of resident memory (VmHWM) to the present value, where Linux allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
