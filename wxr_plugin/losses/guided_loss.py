"""Base class of losses on the features of a frozen guide: CLIP or a depth encoder."""

from typing import Any

import torch
from torch import nn


class GuidedLoss(nn.Module):
    """Loss whose guide is on the device of the loss: `loss.to(device)` moves it, too.

    The guide is loaded at its first use, so that none is loaded onto a GPU without a training. It
    is shared by the whole process and not part of the loss's parameters or state dict.
    """

    _place: torch.Tensor

    def __init__(self):
        super().__init__()
        # An empty buffer that only records the device.
        self.register_buffer("_place", torch.empty(0), persistent=False)

    @property
    def guide(self) -> Any:
        """The guide, on the device of this loss."""
        try:
            return self.load_guide(self._place.device)
        except AttributeError as error:
            # nn.Module would replace it by "no attribute 'guide'".
            raise RuntimeError(
                f"{type(self).__name__}: the guide cannot be loaded: {error}"
            ) from error

    def load_guide(self, device: torch.device) -> Any:
        """Return the guide on `device`; called often, so implementations cache it."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Load the guide, so that errors occur before training starts."""
        self.guide  # noqa: B018 (loads it)
