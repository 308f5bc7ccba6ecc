"""From a degraded image to a clean one along an IR-SDE, in as many steps as its schedule has."""

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor

from wxr_plugin.sampling import sde
from wxr_plugin.sampling.noise import Generators, normal_like
from wxr_plugin.sampling.schedules import Schedule, ScheduleError

Method = Literal["posterior", "sde", "ode"]
METHODS = ("posterior", "sde", "ode")
PredictNoise = Callable[[Tensor, float], Tensor]
"""Noise in a state (N, 3, H, W) at a time in (0, T] of the schedule that the network was trained for."""


def check_steps(steps: int, train_steps: int) -> None:
    """Raise ScheduleError if sampling takes more steps than the network was trained for."""
    if steps > train_steps:
        raise ScheduleError(
            f"sampling takes {steps} steps, but the network was trained on a schedule of "
            f"{train_steps}: "
            f"take {train_steps} or fewer"
        )


@torch.no_grad()
def sample(
    predict_noise: PredictNoise,
    lq: Tensor,
    schedule: Schedule,
    method: Method = "posterior",
    train_steps: int | None = None,
    generator: Generators = None,
    start: Tensor | None = None,
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> Tensor:
    """Clean images like `lq` (N, 3, H, W) in [0, 1]; not clamped.

    Args:
        predict_noise: the network, with whatever else it takes; called once a step, on all images.
        schedule: on the device of `lq`. One of fewer steps than the network was trained for is
            faster; it strides over the same times, as in the authors' code.
        method: posterior draws x_{t-1} given x_t and the x0 that the predicted noise implies (the
            authors' default since 2024); sde follows the reverse SDE; ode its probability flow,
            which adds no noise on the way.
        train_steps: T of the schedule that the network was trained for; that of `schedule` when
            None.
        generator: of the noise at the start and in each step.
        start: the state at T; lq with noise of max_sigma when None.
        progress: wraps the times, say tqdm.

    Raises:
        ScheduleError: the schedule has more steps than the network was trained for, or there is no
            such method.
    """
    if method not in METHODS:
        raise ScheduleError(f"no sampling method {method!r}; there are {', '.join(METHODS)}")
    train_steps = train_steps or schedule.steps
    check_steps(schedule.steps, train_steps)
    x = lq + schedule.max_sigma * normal_like(lq, generator) if start is None else start
    times = range(schedule.steps, 0, -1)
    for t in progress(times) if progress else times:
        noise = predict_noise(x, t * train_steps / schedule.steps)
        x = STEPS[method](x, lq, noise, t, schedule, generator)
    return x


def _posterior(
    x: Tensor, lq: Tensor, noise: Tensor, t: int, s: Schedule, generator: Generators
) -> Tensor:
    mean = sde.optimum_step(x, sde.x0_from_noise(x, lq, noise, t, s), lq, t, s)
    return mean + sde.posterior_std(t, s) * normal_like(x, generator)


def _sde(
    x: Tensor, lq: Tensor, noise: Tensor, t: int, s: Schedule, generator: Generators
) -> Tensor:
    mean = sde.reverse_sde_mean(x, lq, sde.score(noise, t, s), t, s)
    return mean - sde.dispersion_std(t, s) * normal_like(x, generator)


def _ode(
    x: Tensor, lq: Tensor, noise: Tensor, t: int, s: Schedule, generator: Generators
) -> Tensor:
    return sde.reverse_ode_step(x, lq, sde.score(noise, t, s), t, s)


STEPS = {"posterior": _posterior, "sde": _sde, "ode": _ode}
