"""Learning-rate schedules that option files can name, beside the host's."""

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class CosineAnnealingLR(LRScheduler):
    """From the initial rate down to `eta_min` along half a cosine (Loshchilov and Hutter, SGDR, eq. 5), then level.

    torch's class of this name rises again after T_max, and takes T_max from a training state; here
    the options decide, so that a run can be resumed with a larger total_iter.

    Args:
        optimizer: whose rates it sets.
        T_max: iterations until `eta_min`. WxrModel puts total_iter here when the options leave it
            out.
        eta_min: lowest rate.
    """

    def __init__(self, optimizer: Optimizer, T_max: int | None = None, eta_min: float = 0.0):
        if T_max is None:
            raise ValueError("CosineAnnealingLR needs T_max, the iterations until its lowest rate.")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        """The rate of each parameter group at `last_epoch`, the number of steps so far."""
        share = (1 + math.cos(math.pi * min(self.last_epoch / self.T_max, 1.0))) / 2
        return [self.eta_min + (rate - self.eta_min) * share for rate in self.base_lrs]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the position and the initial rates from a state, but not the schedule's shape."""
        super().load_state_dict({**state_dict, "T_max": self.T_max, "eta_min": self.eta_min})
