"""Torch devices by name."""

import torch

from wxr_plugin.errors import WxrError


def device_of(name: str | torch.device | None) -> torch.device:
    """Return the device `name` with its index; by default the GPU if there is one, else the CPU.

    Raises:
        WxrError: torch does not know the device, or it is not usable on this machine.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        # The device of a tensor has an index ("cuda:0"), and allocating shows that it works.
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise WxrError(f"device '{name}' cannot be used here ({reason}); try cpu") from error
