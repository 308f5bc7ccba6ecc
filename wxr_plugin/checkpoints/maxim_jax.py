"""MAXIM's published weights (JAX) as a state dict."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from wxr_plugin.errors import WxrError

PREFIX = "opt/target/"
NAMES = {"kernel": "weight", "scale": "weight", "bias": "bias"}


def from_jax(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """The state dict of `MAXIM` from the authors' arrays, `numpy.load("checkpoint.npz")`.

    Raises WxrError if they are something else.
    """
    found = {name.removeprefix(PREFIX): arrays[name] for name in arrays if name.startswith(PREFIX)}
    if not found:
        raise WxrError(
            f"no array's name begins with {PREFIX}: not a checkpoint of MAXIM; take its "
            f"checkpoint.npz"
        )
    state = {}
    for path, array in found.items():
        *modules, kind = path.split("/")
        if not modules or kind not in NAMES:
            raise WxrError(f"{PREFIX}{path}: not a kernel, scale or bias, so not a weight of MAXIM")
        turned = _kernel(array, modules[-1]) if kind == "kernel" else array
        state[".".join((*modules, NAMES[kind]))] = torch.from_numpy(
            np.array(turned, dtype=np.float32)
        )
    return state


def _kernel(array: np.ndarray, module: str) -> np.ndarray:
    """A kernel in torch's order of axes. flax does not turn the kernel of a transposed convolution, torch does."""
    if array.ndim == 2:
        return array.T
    if module.startswith("ConvTranspose"):
        return array[::-1, ::-1].transpose(2, 3, 0, 1)
    return array.transpose(3, 2, 0, 1)
