"""The formulas of IR-SDE as pure functions (Luo et al., ICML 2023; posterior sampling: Luo et al., CVPRW 2024).

A state x_t lies between a clean image x0 (t = 0) and the degraded one, lq, with noise (t = T). All
images are (N, 3, H, W) in [0, 1]; a time t is a whole number or one an image, a tensor (N,), on the
CPU or where the schedule is; s is the `Schedule`. Times of the wrong range raise ScheduleError (on
a GPU, torch's index error).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from wxr_plugin.sampling.schedules import Schedule, ScheduleError

Time = int | Tensor


def forward_mean(x0: Tensor, lq: Tensor, t: Time, s: Schedule) -> Tensor:
    """Mean of x_t given x0: x0 at t = 0, and nearly lq at T. t in 0 … T."""
    return lq + (x0 - lq) * torch.exp(-_at(s.theta_cumsum, t, first=0) * s.dt)


def noisy_state(x0: Tensor, lq: Tensor, noise: Tensor, t: Time, s: Schedule) -> Tensor:
    """x_t of a clean image and standard normal `noise`. t in 0 … T."""
    return forward_mean(x0, lq, t, s) + _at(s.sigma_bar, t, first=0) * noise


def forward_drift(x: Tensor, lq: Tensor, t: Time, s: Schedule) -> Tensor:
    """What a step of the forward SDE adds to x but for its noise: theta (lq - x) dt. t in 1 … T."""
    return _at(s.theta, t) * (lq - x) * s.dt


def dispersion_std(t: Time, s: Schedule) -> Tensor:
    """Standard deviation of the noise of a step of the SDE: sigma sqrt(dt). t in 1 … T."""
    return _at(s.sigma, t) * s.dt**0.5


def score(noise: Tensor, t: Time, s: Schedule) -> Tensor:
    """Gradient of the log-density of x_t from the noise in it. t in 1 … T."""
    return -noise / _at(s.sigma_bar, t)


def reverse_sde_mean(xt: Tensor, lq: Tensor, score: Tensor, t: Time, s: Schedule) -> Tensor:
    """x_{t-1} by the reverse SDE, without its noise of `dispersion_std`. t in 1 … T."""
    return xt - forward_drift(xt, lq, t, s) + _at(s.sigma, t) ** 2 * score * s.dt


def reverse_ode_step(xt: Tensor, lq: Tensor, score: Tensor, t: Time, s: Schedule) -> Tensor:
    """x_{t-1} by the probability flow ODE, which has the SDE's densities and no noise. t in 1 … T."""
    return xt - forward_drift(xt, lq, t, s) + 0.5 * _at(s.sigma, t) ** 2 * score * s.dt


def x0_from_noise(xt: Tensor, lq: Tensor, noise: Tensor, t: Time, s: Schedule) -> Tensor:
    """The clean image of which `noise` makes xt: `noisy_state` backwards. t in 1 … T."""
    return lq + (xt - lq - _at(s.sigma_bar, t) * noise) * torch.exp(_at(s.theta_cumsum, t) * s.dt)


def optimum_step(xt: Tensor, x0: Tensor, lq: Tensor, t: Time, s: Schedule) -> Tensor:
    """The likeliest x_{t-1} given x_t and x0, which is also the mean of x_{t-1} given both. t in 1 … T."""
    step, total, before = _exponents(t, s)
    spread = _rest(total)
    state = torch.exp(-step) * _rest(before) / spread
    clean = torch.exp(-before) * _rest(step) / spread
    return lq + state * (xt - lq) + clean * (x0 - lq)


def posterior_std(t: Time, s: Schedule) -> Tensor:
    """Standard deviation of x_{t-1} given x_t and x0; nearly 0 at t = 1. t in 1 … T."""
    step, total, before = _exponents(t, s)
    variance = _rest(step) * _rest(before) / _rest(total)
    return s.max_sigma * variance.clamp(min=1e-20 * s.dt).sqrt()


def matching_loss(
    noise: Tensor,
    xt: Tensor,
    x0: Tensor,
    lq: Tensor,
    t: Time,
    s: Schedule,
    criterion: Callable[[Tensor, Tensor], Tensor] = F.l1_loss,
) -> Tensor:
    """The training loss: the step that the predicted `noise` leads to against the optimum one; a scalar."""
    return criterion(
        reverse_sde_mean(xt, lq, score(noise, t, s), t, s), optimum_step(xt, x0, lq, t, s)
    )


def _exponents(t: Time, s: Schedule) -> tuple[Tensor, Tensor, Tensor]:
    """-log of the paper's A, B and C: theta_t dt, and the sums until t and until t - 1 times dt."""
    before = _at(s.theta_cumsum, t - 1, first=0)
    return _at(s.theta, t) * s.dt, _at(s.theta_cumsum, t) * s.dt, before * s.dt


def _rest(exponent: Tensor) -> Tensor:
    """1 - exp(-2 exponent), exact for small ones too."""
    return -torch.expm1(-2 * exponent)


def _at(values: Tensor, t: Time, first: int = 1) -> Tensor:
    """values[t], a scalar or (N, 1, 1, 1).

    Times on a GPU are left to torch: looking at them here would wait for it.
    """
    last = len(values) - 1
    if not isinstance(t, Tensor):
        wrong = not first <= t <= last
    else:
        wrong = t.device.type == "cpu" and not bool(((t >= first) & (t <= last)).all())
    if wrong:
        raise ScheduleError(
            f"time {t if isinstance(t, int) else t.tolist()} on a schedule with times {first} to "
            f"{last}"
        )
    return values[t].reshape(-1, 1, 1, 1) if isinstance(t, Tensor) and t.dim() else values[t]
