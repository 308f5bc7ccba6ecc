"""State of the global random generators of a process, for checkpoints."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def rng_state() -> dict[str, Any]:
    """Return the state of this process's global random generators in plain types and tensors.

    The keys are python, numpy, torch and cuda.
    """
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    # A tensor, since torch.load with weights_only refuses NumPy arrays; uint32 is hardly supported.
    words = torch.from_numpy(np.asarray(keys).astype(np.int64))
    # Asking a GPU for its state would start CUDA, which takes memory.
    devices = torch.cuda.device_count() if torch.cuda.is_initialized() else 0
    return {
        "python": random.getstate(),
        "numpy": (kind, words, int(position), int(has_gauss), float(gauss)),
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state(device) for device in range(devices)],
    }


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Set the generators to a state that `rng_state` returned.

    States of CUDA devices that are no longer there are ignored.
    """
    random.setstate(_python_state(state))
    np.random.set_state(_numpy_state(state))
    torch.set_rng_state(state["torch"])
    devices = torch.cuda.device_count() if state["cuda"] else 0
    for device, cuda in zip(range(devices), state["cuda"]):
        torch.cuda.set_rng_state(cuda, device)


def check_rng_state(state: Mapping[str, Any]) -> None:
    """Raise ValueError if `set_rng_state` would fail with `state`.

    The global generators are not changed.
    """
    try:
        random.Random().setstate(_python_state(state))
        np.random.RandomState().set_state(_numpy_state(state))
        torch.Generator().set_state(state["torch"])
        if not all(isinstance(cuda, torch.Tensor) for cuda in state["cuda"]):
            raise TypeError("an entry of 'cuda' is not a tensor")
    except Exception as error:  # the kind of error depends on the generator and on the fault
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
    """Restore the global generators after the block, so that its draws leave no trace."""
    state = rng_state()
    try:
        yield
    finally:
        set_rng_state(state)
