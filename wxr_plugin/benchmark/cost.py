"""What restoring takes: parameters, multiplications, memory and time."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from wxr_plugin.inference.restorer import Restorer

SIDE = 256
"""Of the square that a network is warmed up with, and whose multiplications are counted."""
MIB = 2**20


class Taken:
    """What the block of `measured` took: `seconds` on the clock, `peak_mib` of memory, None where nobody tells."""

    seconds: float = 0.0
    peak_mib: float | None = None


@contextlib.contextmanager
def measured(device: torch.device, before: float | None) -> Iterator[Taken]:
    """Measure the block.

    `before` is `memory_used()` from before the network was loaded, for the CPU.

    On CUDA the peak is what torch's allocator gave out, the network included. On the CPU it is the
    process' peak of resident memory less `before`, which Linux alone tells.
    """
    taken, cuda = Taken(), device.type == "cuda"
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
    elif device.type == "cpu" and before is not None and (peak := _status("VmHWM")) is not None:
        taken.peak_mib = max(peak - before, 0.0)


def memory_used() -> float | None:
    """MiB of this process' resident memory; None where the system does not tell."""
    return _status("VmRSS")


def warm_up(restorer: "Restorer", photo: np.ndarray) -> None:
    """Restore a square of the photo, so that the first photo is not charged with what is done once."""
    restorer.restore(square(photo))


def parameters(restorer: "Restorer") -> int:
    """Numbers that the network has learnt; those of a guide beside it are not in it."""
    return sum(parameter.numel() for parameter in restorer.net.parameters())


def macs_per_megapixel(restorer: "Restorer", photo: np.ndarray) -> float:
    """Multiplications with addition that a million pixels take: half the operations that torch counts on a square of
    SIDE pixels, all steps and a guide's forward pass included, scaled by area.

    Of a network whose attention grows with the square of the area it is what tiles of this size
    would take. Raises RuntimeError where nothing is counted.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        restorer.restore(square(photo))
    if not counter.get_total_flops():
        raise RuntimeError("torch counts no operation of this network")
    return counter.get_total_flops() / 2 / SIDE**2 * 1e6


def square(photo: np.ndarray) -> np.ndarray:
    """The photo's upper left SIDE x SIDE pixels, mirrored where it has fewer."""
    part = photo[:SIDE, :SIDE]
    edges = [(0, SIDE - length) for length in part.shape[:2]]
    return np.ascontiguousarray(np.pad(part, [*edges, (0, 0)], mode="symmetric"))


def _status(key: str) -> float | None:
    return _or_none(
        lambda: next(_kib(line) / 1024 for line in _lines() if line.startswith(f"{key}:"))
    )


def _lines() -> list[str]:
    return Path("/proc/self/status").read_text().splitlines()


def _kib(line: str) -> float:
    return float(line.split()[1])


def _forget_peak() -> None:
    _or_none(lambda: Path("/proc/self/clear_refs").write_text("5"))


def _or_none(read: Callable[[], float | int]) -> float | None:
    try:
        return read()
    except (OSError, StopIteration, ValueError):
        return None
