"""Out-of-memory errors of any device, and how freed memory is returned or kept."""

import ctypes
import gc
import sys

import torch

SIGNS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""Words of out-of-memory errors that are plain RuntimeErrors; two are DefaultCPUAllocator's."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` reports a lack of memory, so that smaller parts may work."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


def free() -> None:
    """Free the memory of tensors without references."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


KEPT_BLOCK, KEPT = 64 << 20, 512 << 20
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # names and values of glibc's malloc.h


def reuse_memory() -> None:
    """Let this process keep up to 512 MiB of freed memory, in blocks of up to 64 MiB.

    For restoring on a CPU: glibc returns each large block to the system, which clears it before the
    next layer gets it, a quarter of the time of a narrow network in tiles of 512 pixels. Does
    nothing without glibc.
    """
    malloc = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if malloc:
        malloc(M_MMAP_THRESHOLD, KEPT_BLOCK)
        malloc(M_TRIM_THRESHOLD, KEPT)
