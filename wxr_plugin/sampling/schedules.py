"""Schedules of IR-SDE (Luo et al., ICML 2023): pull to the degraded image, and noise."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wxr_plugin.errors import WxrError

STEPS = 100
"""Steps T of the published schedules."""


class ScheduleError(WxrError):
    """A time or a number of steps that a schedule does not have."""


@dataclass(frozen=True)
class Schedule:
    """T steps of dx = theta (lq - x) dt + sigma dW.

    Arrays are float32 (T + 1,) with an entry for each time 0 … T.
    """

    theta: Tensor
    """Speed of the pull to the degraded image."""
    sigma: Tensor
    """Dispersion of the noise: max_sigma sqrt(2 theta), which limits its variance."""
    sigma_bar: Tensor
    """Standard deviation of the state given the clean image: 0 at time 0, near max_sigma at T."""
    theta_cumsum: Tensor
    """Sum of theta over the steps up to each time; 0 at time 0."""
    dt: float
    """Length of a step, such that a share `eps` of the clean image is left at T."""
    max_sigma: float
    """Standard deviation of the noise on the degraded image at T, for images in [0, 1]."""

    @property
    def steps(self) -> int:
        """Number of steps T."""
        return len(self.theta) - 1

    def to(self, device: torch.device | str) -> "Schedule":
        """Return this schedule with its arrays on `device`."""
        arrays: dict[str, Any] = {}
        for key, value in vars(self).items():
            if isinstance(value, Tensor):
                arrays[key] = value.to(device)
        return dataclasses.replace(self, **arrays)


def make_schedule(
    steps: int = STEPS,
    kind: str = "cosine",
    max_sigma: float = 50 / 255,
    eps: float = 0.005,
) -> Schedule:
    """Return the authors' schedule of `steps` steps.

    Args:
        steps: T, at least 1.
        kind: shape of theta over time: cosine, linear or constant.
        max_sigma: standard deviation of the noise at T, for images in [0, 1]; from 1 on it is in
            8-bit levels and is divided by 255, as in the authors' options.
        eps: share of the clean image that is left at T, in (0, 1).

    Raises:
        ScheduleError: an argument is out of its range.
    """
    if kind not in THETAS:
        raise ScheduleError(f"no schedule {kind!r}; there are {', '.join(THETAS)}")
    if steps < 1 or max_sigma < 0 or not 0 < eps < 1:
        raise ScheduleError(
            f"a schedule needs steps >= 1, max_sigma >= 0, eps in (0, 1): "
            f"{steps}, {max_sigma}, {eps}"
        )
    if max_sigma >= 1:
        max_sigma = max_sigma / 255
    theta = THETAS[kind](steps)
    total = theta.cumsum(0) - theta[0]
    # The share of the clean image at t is exp(-total_t dt); it is eps at T.
    dt = -math.log(eps) / total[-1].item()
    # sigma_bar^2 = max_sigma^2 (1 - exp(-2 total dt))
    sigma_bar = max_sigma * (-torch.expm1(-2 * total * dt)).sqrt()
    sigma = max_sigma * (2 * theta).sqrt()
    return Schedule(
        theta=theta.float(),
        sigma=sigma.float(),
        sigma_bar=sigma_bar.float(),
        theta_cumsum=total.float(),
        dt=dt,
        max_sigma=max_sigma,
    )


def _cosine(steps: int) -> Tensor:
    """Return 1 - alpha bar of the cosine schedule of Nichol and Dhariwal (2021)."""
    times = torch.arange(steps + 3, dtype=torch.float64) / (steps + 2)
    # f(t) = cos^2((t + 0.008) / 1.008 * pi / 2); the authors use f(t) / f(0), not its ratios.
    angles = (times + 0.008) / 1.008 * math.pi / 2
    alphas = angles.cos().square()
    alpha_bars = alphas / alphas[0]
    return 1 - alpha_bars[1:-1]


def _linear(steps: int) -> Tensor:
    # DDPM's betas are made for 1000 steps.
    scale = 1000 / (steps + 1)
    first, last = 0.0001 * scale, 0.02 * scale
    return torch.linspace(first, last, steps + 1, dtype=torch.float64)


def _constant(steps: int) -> Tensor:
    return torch.ones(steps + 1, dtype=torch.float64)


THETAS: dict[str, Callable[[int], Tensor]] = {
    "cosine": _cosine,
    "linear": _linear,
    "constant": _constant,
}
"""Functions from T to theta, (T + 1,) float64, keyed by the name of the schedule."""
