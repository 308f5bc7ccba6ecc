"""The base of losses that ask a frozen guide: CLIP or a depth encoder."""

from typing import Any

import torch
from torch import nn


class GuidedLoss(nn.Module):
    """A loss whose guide is on the device of the loss: `loss.to(device)` takes it along.

    The guide is loaded when it is first asked for, so that none is loaded onto a GPU on which
    nothing is trained. It is shared by the whole process and is no part of the loss's own
    parameters or state dict.
    """

    def __init__(self):
        super().__init__()
        self.register_buffer("_place", torch.empty(0), persistent=False)

    @property
    def guide(self) -> Any:
        """The guide, on the device of this loss."""
        try:
            return self.load_guide(self._place.device)
        except AttributeError as error:  # nn.Module would replace it by "no attribute 'guide'"
            raise RuntimeError(
                f"{type(self).__name__}: the guide cannot be loaded: {error}"
            ) from error

    def load_guide(self, device: torch.device) -> Any:
        """Return the guide on `device`; called often, so it returns one that is loaded already."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Load all that the loss needs, so that what is wrong with it is known before training starts."""
        self.guide  # noqa: B018 (loads it)
