"""Telling that memory ran out, on whatever device, giving back what can be given, and keeping what comes again."""

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
"""What devices that raise a plain RuntimeError say; the second and third are DefaultCPUAllocator's."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that there was no memory, so that less at once may work."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


def free() -> None:
    """Give back the memory of tensors that nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


KEPT_BLOCK, KEPT = 64 << 20, 512 << 20
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # names and values of glibc's malloc.h


def reuse_memory() -> None:
    """Let this process keep up to 512 MiB of freed memory, in blocks of up to 64 MiB; for restoring on a CPU.

    glibc gives each large block back to the system and asks for it again at the next layer, and the
    system then clears
    it: a quarter of the time of a narrow network in tiles of 512 pixels. Does nothing where there
    is no glibc.
    """
    malloc = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if malloc:
        malloc(M_MMAP_THRESHOLD, KEPT_BLOCK)
        malloc(M_TRIM_THRESHOLD, KEPT)
