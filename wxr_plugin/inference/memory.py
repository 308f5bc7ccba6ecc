"""Telling that memory ran out, on whatever device, and giving back what can be given."""

import gc

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
