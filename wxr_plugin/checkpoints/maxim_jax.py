"""Conversion of MAXIM's published weights (JAX) to a state dict."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from wxr_plugin.errors import WxrError

PREFIX = "opt/target/"
"""Prefix of the network's arrays; the others are the optimiser's."""
NAMES = {"kernel": "weight", "scale": "weight", "bias": "bias"}
"""Kind of a flax parameter -> torch's name."""


def from_jax(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Convert the authors' arrays, `numpy.load("checkpoint.npz")`, to the state dict of `MAXIM`.

    Raises:
        WxrError: the arrays are not a checkpoint of MAXIM.
    """
    names = [name for name in arrays if name.startswith(PREFIX)]
    if not names:
        raise WxrError(
            f"no array's name begins with {PREFIX}: not a checkpoint of MAXIM; take its "
            f"checkpoint.npz"
        )
    state = {}
    for name in names:
        # opt/target/module/submodule/kernel
        *modules, kind = name.removeprefix(PREFIX).split("/")
        if not modules or kind not in NAMES:
            raise WxrError(f"{name}: not a kernel, scale or bias, so not a weight of MAXIM")
        array = arrays[name]
        if kind == "kernel":
            array = _kernel(array, modules[-1])
        torch_name = ".".join((*modules, NAMES[kind]))
        state[torch_name] = torch.from_numpy(np.array(array, dtype=np.float32))
    return state


def _kernel(array: np.ndarray, module: str) -> np.ndarray:
    """Return a kernel in torch's order of axes."""
    if array.ndim == 2:
        return array.T  # (in, out) -> (out, in)
    # Convolutions: (h, w, in, out). Torch mirrors the kernel of a transposed one, flax does not.
    if module.startswith("ConvTranspose"):
        return array[::-1, ::-1].transpose(2, 3, 0, 1)
    return array.transpose(3, 2, 0, 1)
