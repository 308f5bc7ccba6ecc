"""Memory of a network: its need for a photo, the free memory, and out-of-memory errors."""

import ctypes
import gc
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SIGNS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""Words of out-of-memory errors that are plain RuntimeErrors; two are DefaultCPUAllocator's."""
KEPT_BLOCK, KEPT = 64 << 20, 512 << 20
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # names and values of glibc's malloc.h
SIDES = (128, 256)
"""Of the images on which a network's memory is measured, in pixels."""
CPU_SHARE, CUDA_SHARE = 0.5, 0.8
"""Shares of the free memory that a photo may take.

A CPU's convolutions have buffers of their own that are not seen.
"""
CGROUP = Path("/sys/fs/cgroup")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` reports a lack of memory, so that smaller parts may work."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if not isinstance(error, RuntimeError):
        return False
    message = str(error)
    return any(sign in message for sign in SIGNS)


def free() -> None:
    """Free the memory of tensors without references."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def reuse_memory() -> None:
    """Let this process keep up to 512 MiB of freed memory, in blocks of up to 64 MiB.

    For restoring on a CPU: glibc returns each large block to the system, which clears it before the
    next layer gets it, a quarter of the time of a narrow network in tiles of 512 pixels. Does
    nothing without glibc.
    """
    if sys.platform != "linux":
        return
    process = ctypes.CDLL(None)
    malloc = getattr(process, "mallopt", None)
    if malloc:
        malloc(M_MMAP_THRESHOLD, KEPT_BLOCK)
        malloc(M_TRIM_THRESHOLD, KEPT)


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


def measure_footprint(run: Callable[[Tensor], Any], device: torch.device) -> Footprint:
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
