"""Learning-rate schedules that option files can name, beside the host's."""

from torch.optim import Optimizer, lr_scheduler


class CosineAnnealingLR(lr_scheduler.CosineAnnealingLR):
    """From the initial rate down to `eta_min` along half a cosine (Loshchilov and Hutter, SGDR, eq. 5); torch's own.

    Args:
        optimizer: whose rates it sets.
        T_max: iterations until `eta_min`. WxrModel puts total_iter here when the options leave it out.
        eta_min: lowest rate.
    """

    def __init__(self, optimizer: Optimizer, T_max: int | None = None, eta_min: float = 0.0):
        if T_max is None:
            raise ValueError("CosineAnnealingLR needs T_max, the iterations until its lowest rate.")
        super().__init__(optimizer, T_max, eta_min)
