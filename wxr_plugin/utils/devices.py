"""Devices by name."""

import torch

from wxr_plugin.errors import WxrError


def device_of(name: str | torch.device | None) -> torch.device:
    """Return the device called `name`, with its number; None is the GPU if there is one, else the CPU.

    Raises:
        WxrError: torch does not know the device, or it is not usable on this machine.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise WxrError(
            f"device '{name}' cannot be used here ({str(error).splitlines()[0]}); try cpu"
        ) from error
