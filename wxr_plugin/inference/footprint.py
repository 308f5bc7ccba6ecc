"""Estimates of the memory that a network takes for a photo, and of the free memory."""

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SIDES = (128, 256)
"""Of the images on which a network's memory is measured, in pixels."""
CPU_SHARE, CUDA_SHARE = 0.5, 0.8
"""Shares of the free memory that a photo may take.

A CPU's convolutions have buffers of their own that are not seen.
"""
CGROUP = Path("/sys/fs/cgroup")


class Footprint(NamedTuple):
    """Memory of one forward pass in bytes: linear * pixels + quadratic * pixels ** 2.

    The quadratic part is attention among pixels.
    """

    linear: float
    quadratic: float = 0.0

    def bytes(self, pixels: int) -> float:
        """Return the memory in bytes for images of `pixels` pixels altogether."""
        return self.linear * pixels + self.quadratic * pixels**2

    def side(self, budget: float, batch: int = 1, multiple: int = 32) -> int:
        """Return the side of the largest square tiles of which `batch` fit into `budget` bytes.

        The side is a multiple of `multiple` pixels.
        """
        side = multiple
        while batch * self.bytes((side + multiple) ** 2) <= budget:
            side += multiple
        return side


def measure(run: Callable[[Tensor], Any], device: torch.device) -> Footprint:
    """Return the footprint of `run`, called on noise (1, 3, H, W) of two sizes on `device`."""
    images = [torch.rand(1, 3, side, side, device=device) for side in SIDES]
    fewer, more = [side * side for side in SIDES]
    small, large = [_peak(run, image) for image in images]
    # Two points determine bytes / pixels = linear + quadratic * pixels.
    slope = (large / more - small / fewer) / (more - fewer)
    quadratic = max(0.0, slope)
    linear = large / more - quadratic * more
    return Footprint(linear, quadratic)


def budget(device: torch.device) -> float:
    """Return the bytes that a network may take for a photo."""
    if device.type == "cuda":
        # The caching allocator holds memory that it can hand out again.
        reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        unused, _ = torch.cuda.mem_get_info(device)
        return CUDA_SHARE * (unused + reusable)
    available = psutil.virtual_memory().available
    return CPU_SHARE * min(available, _left_of_cgroup())


def _left_of_cgroup() -> float:
    """Return the bytes that a container may still take, infinity outside of a container.

    File pages that the kernel can drop count as free.
    """
    # Files of cgroup v2; where they are missing, no limit is known.
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
        lines = (CGROUP / "memory.stat").read_text().splitlines()
        statistics = dict(line.split() for line in lines)
    except (OSError, ValueError):
        return float("inf")
    if limit == "max":
        return float("inf")
    droppable = int(statistics.get("inactive_file", 0))
    return int(limit) - used + droppable


def _peak(run: Callable[[Tensor], Any], image: Tensor) -> float:
    if image.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(image.device)
        before = torch.cuda.memory_allocated(image.device)
        run(image)
        return torch.cuda.max_memory_allocated(image.device) - before
    # torch keeps no statistics of the CPU's memory.
    with _Watch() as watch:
        run(image)
    return watch.peak


class _Watch(TorchDispatchMode):
    """Counts the bytes of all tensors that live at the same time."""

    def __init__(self):
        super().__init__()
        self.now, self.peak = 0, 0
        self._known: weakref.WeakSet = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._count(value.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        # Views and results of in-place operations share a storage, which counts once.
        if storage in self._known:
            return
        self._known.add(storage)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        # Runs when the last tensor on this storage is gone.
        weakref.finalize(storage, self._freed, storage.nbytes())

    def _freed(self, count: int) -> None:
        self.now -= count
