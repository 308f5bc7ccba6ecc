"""Formulas of IR-SDE (Luo et al., ICML 2023) and of posterior sampling (CVPRW 2024).

A state x_t lies between a clean image x0 (t = 0) and the degraded one, lq, with noise (t = T). All
images are (N, 3, H, W) in [0, 1]. A time t is an integer or a tensor (N,) of integers, on the CPU
or on the device of the schedule; s is the `Schedule`. Times out of range raise ScheduleError (on a
GPU, torch's index error). All functions are pure.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from wxr_plugin.sampling.schedules import Schedule, ScheduleError

Time = int | Tensor


def forward_mean(x0: Tensor, lq: Tensor, t: Time, s: Schedule) -> Tensor:
    """Return the mean of x_t given x0: x0 at t = 0, and nearly lq at T. t in 0 … T."""
    total = _at(s.theta_cumsum, t, first=0)
    share = torch.exp(-total * s.dt)  # of x0
    return lq + (x0 - lq) * share


def noisy_state(
    x0: Tensor,
    lq: Tensor,
    noise: Tensor,
    t: Time,
    s: Schedule,
) -> Tensor:
    """Return x_t of a clean image and standard normal `noise`. t in 0 … T."""
    mean = forward_mean(x0, lq, t, s)
    return mean + _at(s.sigma_bar, t, first=0) * noise


def forward_drift(x: Tensor, lq: Tensor, t: Time, s: Schedule) -> Tensor:
    """Return the drift of a step of the forward SDE: theta (lq - x) dt. t in 1 … T."""
    theta = _at(s.theta, t)
    return theta * (lq - x) * s.dt


def dispersion_std(t: Time, s: Schedule) -> Tensor:
    """Return the standard deviation of the noise of an SDE step: sigma sqrt(dt). t in 1 … T."""
    sigma = _at(s.sigma, t)
    return sigma * s.dt**0.5


def score(noise: Tensor, t: Time, s: Schedule) -> Tensor:
    """Return the gradient of the log-density of x_t, -noise / sigma_bar. t in 1 … T."""
    sigma_bar = _at(s.sigma_bar, t)
    return -noise / sigma_bar


def reverse_sde_mean(
    xt: Tensor,
    lq: Tensor,
    score: Tensor,
    t: Time,
    s: Schedule,
) -> Tensor:
    """Return x_{t-1} by the reverse SDE, without its noise of `dispersion_std`. t in 1 … T."""
    drift = forward_drift(xt, lq, t, s)
    return xt - drift + _at(s.sigma, t) ** 2 * score * s.dt


def reverse_ode_step(
    xt: Tensor,
    lq: Tensor,
    score: Tensor,
    t: Time,
    s: Schedule,
) -> Tensor:
    """Return x_{t-1} by the probability flow ODE, which has the SDE's densities. t in 1 … T."""
    drift = forward_drift(xt, lq, t, s)
    return xt - drift + 0.5 * _at(s.sigma, t) ** 2 * score * s.dt


def x0_from_noise(
    xt: Tensor,
    lq: Tensor,
    noise: Tensor,
    t: Time,
    s: Schedule,
) -> Tensor:
    """Return the x0 from which `noise` gives xt, the inverse of `noisy_state`. t in 1 … T."""
    mean = xt - lq - _at(s.sigma_bar, t) * noise
    growth = torch.exp(_at(s.theta_cumsum, t) * s.dt)
    return lq + mean * growth


def optimum_step(
    xt: Tensor,
    x0: Tensor,
    lq: Tensor,
    t: Time,
    s: Schedule,
) -> Tensor:
    """Return the likeliest x_{t-1} given x_t and x0, which is also its mean. t in 1 … T."""
    step, total, before = _exponents(t, s)
    # With A = exp(-step), B = exp(-total) and C = exp(-before), as in the paper:
    # A (1 - C^2) / (1 - B^2) (x_t - lq) + C (1 - A^2) / (1 - B^2) (x0 - lq) + lq
    spread = _rest(total)
    state = torch.exp(-step) * _rest(before) / spread
    clean = torch.exp(-before) * _rest(step) / spread
    return lq + state * (xt - lq) + clean * (x0 - lq)


def posterior_std(t: Time, s: Schedule) -> Tensor:
    """Return the standard deviation of x_{t-1} given x_t and x0; nearly 0 at t = 1. t in 1 … T."""
    step, total, before = _exponents(t, s)
    # (1 - A^2) (1 - C^2) / (1 - B^2), clamped as in the authors' code.
    variance = _rest(step) * _rest(before) / _rest(total)
    least = 1e-20 * s.dt
    std = variance.clamp(min=least).sqrt()
    return s.max_sigma * std


def matching_loss(
    noise: Tensor,
    xt: Tensor,
    x0: Tensor,
    lq: Tensor,
    t: Time,
    s: Schedule,
    criterion: Callable[[Tensor, Tensor], Tensor] = F.l1_loss,
) -> Tensor:
    """Return the training loss, a scalar: the step by the predicted `noise` against the optimum."""
    predicted = reverse_sde_mean(xt, lq, score(noise, t, s), t, s)
    optimum = optimum_step(xt, x0, lq, t, s)
    return criterion(predicted, optimum)


def preconditioned_loss(
    noise: Tensor,
    xt: Tensor,
    x0: Tensor,
    lq: Tensor,
    t: Time,
    s: Schedule,
    criterion: Callable[[Tensor, Tensor], Tensor] = F.l1_loss,
) -> Tensor:
    """Return the loss of a network behind `preconditioned`, a scalar: on its own output.

    `matching_loss` multiplies the error of that output by sigma^2 dt / sigma_bar times the output's
    factor, which is sixteen times smaller at T than in the middle; but at T, where the state is
    noise, the network has to restore. So every time counts alike here (lambda = 1 / c_out^2 of
    Karras et al., NeurIPS 2022, section 5). t in 1 … T.
    """
    true_noise = (xt - forward_mean(x0, lq, t, s)) / _at(s.sigma_bar, t)
    _, factor, _ = _scales(t, s)
    return criterion(noise / factor, true_noise / factor)


CLEAN_STD = 0.25
"""Assumed standard deviation of x0 - lq, in [0, 1] (our choice)."""


def preconditioned(
    network: Callable[[Tensor], Tensor],
    xt: Tensor,
    lq: Tensor,
    t: Time,
    s: Schedule,
) -> Tensor:
    """Return the noise in xt, for a network whose input and target have unit variance.

    `network` is called with a state (N, 3, H, W). At a small `max_sigma` the deviation u = x_t - lq
    is small and the noise in it is not, so a plain network must first learn a gain of 1 /
    sigma_bar. With m the share of the clean image in x_t times CLEAN_STD, and d = sigma_bar^2 + m^2
    the variance of u,

        noise = sigma_bar / d * u + m / sqrt(d) * network(lq + u / sqrt(d))

    The first term is the best linear estimate; the factor of the second is the standard deviation
    of the rest (after Karras et al., NeurIPS 2022, section 5, where the clean image is predicted).
    t in 1 … T.
    """
    linear, factor, std = _scales(t, s)
    deviation = xt - lq
    return linear * deviation + factor * network(lq + deviation / std)


def _scales(t: Time, s: Schedule) -> tuple[Tensor, Tensor, Tensor]:
    """Return sigma_bar / d, m / sqrt(d) and sqrt(d) of `preconditioned`."""
    spread = _at(s.sigma_bar, t)
    clean = CLEAN_STD * torch.exp(-_at(s.theta_cumsum, t) * s.dt)
    variance = spread**2 + clean**2
    return spread / variance, clean / variance.sqrt(), variance.sqrt()


def _exponents(t: Time, s: Schedule) -> tuple[Tensor, Tensor, Tensor]:
    """Return -log of the paper's A, B and C: theta_t dt, and dt times the sums to t and t - 1."""
    theta = _at(s.theta, t)
    sum_now = _at(s.theta_cumsum, t)
    sum_before = _at(s.theta_cumsum, t - 1, first=0)
    return theta * s.dt, sum_now * s.dt, sum_before * s.dt


def _rest(exponent: Tensor) -> Tensor:
    """Return 1 - exp(-2 exponent), accurate for small exponents as well."""
    power = torch.expm1(-2 * exponent)
    return -power


def _at(values: Tensor, t: Time, first: int = 1) -> Tensor:
    """Return values[t], a scalar or (N, 1, 1, 1).

    Raises:
        ScheduleError: a time is not in `first` … T.
    """
    last = len(values) - 1
    if not isinstance(t, Tensor):
        valid = first <= t <= last
    elif t.device.type == "cpu":
        in_range = (t >= first) & (t <= last)
        valid = bool(in_range.all())
    else:
        # Reading times on a GPU would synchronise; torch checks the index there.
        valid = True
    if not valid:
        time = t.tolist() if isinstance(t, Tensor) else t
        raise ScheduleError(f"time {time} on a schedule with times {first} to {last}")
    at_times = values[t]
    if isinstance(t, Tensor) and t.dim():
        return at_times.reshape(-1, 1, 1, 1)  # one for each image
    return at_times
