"""How fast an IR-SDE pulls a clean image to the degraded one, and how much noise it adds (Luo et al., ICML 2023)."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from wxr_plugin.errors import WxrError

STEPS = 100
"""Of the published schedules."""


class ScheduleError(WxrError):
    """A time or a number of steps that a schedule does not have."""


@dataclass(frozen=True)
class Schedule:
    """T steps of dx = theta (lq - x) dt + sigma dW; its arrays are float32 and have an entry for each time 0 … T."""

    theta: Tensor
    """Speed of the pull to the degraded image."""
    sigma: Tensor
    """Dispersion of the noise: max_sigma sqrt(2 theta), so that its variance does not grow without limit."""
    sigma_bar: Tensor
    """Standard deviation of the state given the clean image: 0 at first, near max_sigma at T."""
    theta_cumsum: Tensor
    """Sum of theta over the steps until then; 0 at first."""
    dt: float
    """Length of a step, such that a share `eps` of the clean image is left at T."""
    max_sigma: float
    """Standard deviation of the noise on the degraded image from which sampling starts; images lie in [0, 1]."""

    @property
    def steps(self) -> int:
        """T."""
        return len(self.theta) - 1

    def to(self, device: torch.device | str) -> "Schedule":
        """This schedule with its arrays on `device`."""
        arrays = {
            key: value.to(device) for key, value in vars(self).items() if isinstance(value, Tensor)
        }
        return dataclasses.replace(self, **arrays)


def make_schedule(
    steps: int = STEPS, kind: str = "cosine", max_sigma: float = 50 / 255, eps: float = 0.005
) -> Schedule:
    """The authors' schedule of `steps` steps.

    Args:
        steps: T, at least 1.
        kind: of theta: cosine, linear or constant.
        max_sigma: standard deviation of the noise in the end, for images in [0, 1]; from 1 on it
            counts 8-bit levels and is divided by 255, as in the authors' options.
        eps: share of the clean image that is left at T, in (0, 1).

    Raises:
        ScheduleError: an argument is out of its range.
    """
    if kind not in THETAS:
        raise ScheduleError(f"no schedule {kind!r}; there are {', '.join(THETAS)}")
    if steps < 1 or max_sigma < 0 or not 0 < eps < 1:
        raise ScheduleError(
            f"a schedule needs steps >= 1, max_sigma >= 0, eps in (0, 1): {steps}, {max_sigma}, "
            f"{eps}"
        )
    max_sigma = max_sigma / 255 if max_sigma >= 1 else max_sigma
    theta = THETAS[kind](steps)
    total = theta.cumsum(0) - theta[0]
    dt = -math.log(eps) / total[-1].item()
    sigma_bar = max_sigma * (-torch.expm1(-2 * total * dt)).sqrt()
    arrays = (theta, max_sigma * (2 * theta).sqrt(), sigma_bar, total)
    return Schedule(*(array.float() for array in arrays), dt, max_sigma)


def _cosine(steps: int) -> Tensor:
    """1 - the cosine schedule of Nichol and Dhariwal (2021), whose product of alphas is meant, not their ratio."""
    places = torch.arange(steps + 3, dtype=torch.float64) / (steps + 2)
    alphas = ((places + 0.008) / 1.008 * math.pi / 2).cos().square()
    return 1 - (alphas / alphas[0])[1:-1]


def _linear(steps: int) -> Tensor:
    scale = 1000 / (steps + 1)
    return torch.linspace(0.0001 * scale, 0.02 * scale, steps + 1, dtype=torch.float64)


def _constant(steps: int) -> Tensor:
    return torch.ones(steps + 1, dtype=torch.float64)


THETAS: dict[str, Callable[[int], Tensor]] = {
    "cosine": _cosine,
    "linear": _linear,
    "constant": _constant,
}
"""theta of T steps by the name of the schedule, (T + 1,) float64."""
