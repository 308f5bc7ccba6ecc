"""The state of a process's global random generators, to be kept in a checkpoint and put back."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def rng_state() -> dict[str, Any]:
    """State of this process's global random generators (python, numpy, torch, CUDA), in plain types and tensors."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    cuda = (
        [torch.cuda.get_rng_state(i) for i in range(torch.cuda.device_count())]
        if torch.cuda.is_initialized()
        else []
    )
    return {
        "python": random.getstate(),
        "numpy": (
            kind,
            torch.from_numpy(keys.astype(np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ),
        "torch": torch.get_rng_state(),
        "cuda": cuda,
    }


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Put the generators back to what `rng_state` gave.

    CUDA devices that are no longer there are passed over.
    """
    random.setstate(_python_state(state))
    np.random.set_state(_numpy_state(state))
    torch.set_rng_state(state["torch"])
    devices = torch.cuda.device_count() if state["cuda"] else 0
    for device, cuda in zip(range(devices), state["cuda"]):
        torch.cuda.set_rng_state(cuda, device)


def check_rng_state(state: Mapping[str, Any]) -> None:
    """Raise ValueError if `set_rng_state` could not take `state`; the global generators are not touched."""
    try:
        random.Random().setstate(_python_state(state))
        np.random.RandomState().set_state(_numpy_state(state))
        torch.Generator().set_state(state["torch"])
        if not all(isinstance(cuda, torch.Tensor) for cuda in state["cuda"]):
            raise TypeError("an entry of 'cuda' is not a tensor")
    except Exception as error:  # generators raise what they like at a state of another shape
        raise ValueError(
            f"not a state of random generators ({type(error).__name__}: {error})"
        ) from error


def _python_state(state: Mapping[str, Any]) -> tuple:
    version, internal, gauss_next = state["python"]
    return version, tuple(internal), gauss_next


def _numpy_state(state: Mapping[str, Any]) -> tuple:
    kind, keys, position, has_gauss, gauss = state["numpy"]
    return kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss


@contextmanager
def preserved_rng() -> Iterator[None]:
    """Whatever the block draws from the global generators, they continue afterwards as if it had not run."""
    state = rng_state()
    try:
        yield
    finally:
        set_rng_state(state)
