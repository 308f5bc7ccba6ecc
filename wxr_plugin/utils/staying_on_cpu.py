"""Calls of `.cuda()` in code that runs on the CPU.

Real-ESRGAN's models, BasicSR's copies of them and what derives from them put their JPEG simulator,
their sharpener and their pool of samples on the GPU by a bare `.cuda()`, whatever `num_gpu` says.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class StayOnCPU(TorchFunctionMode):
    """Context manager in which `tensor.cuda()` and `module.cuda()` have no effect."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Any = None
    ) -> Any:
        """Call `func` of torch; return the tensor itself if it is `Tensor.cuda`."""
        if func is Tensor.cuda:
            return args[0]
        return func(*args, **(kwargs or {}))


def on_device_of(opt: Mapping[str, Any]) -> contextlib.AbstractContextManager:
    """Return a context: StayOnCPU if a model with the options `opt` runs on the CPU, else none."""
    return StayOnCPU() if runs_on_cpu(opt) else contextlib.nullcontext()


def runs_on_cpu(opt: Mapping[str, Any]) -> bool:
    """Return whether a model with the options `opt` runs on the CPU."""
    return opt.get("num_gpu") == 0 or not torch.cuda.is_available()


def wrapped(method: Callable) -> Callable:
    """Return the method `method` of a model, wrapped in `StayOnCPU`."""

    def on_cpu(*args: Any, **kwargs: Any) -> Any:
        with StayOnCPU():
            return method(*args, **kwargs)

    return on_cpu
