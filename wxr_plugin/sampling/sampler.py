"""Sampling along an IR-SDE: from a degraded image to a clean one, one step per time."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from wxr_plugin.sampling import sde
from wxr_plugin.sampling.methods import METHODS, Method
from wxr_plugin.sampling.noise import Generators, normal_like
from wxr_plugin.sampling.schedules import Schedule, ScheduleError

PredictNoise = Callable[[Tensor, float], Tensor]
"""predict(x, time): noise in a state (N, 3, H, W) at a time in (0, T] of the training schedule."""


def check_steps(steps: int, train_steps: int) -> None:
    """Raise ScheduleError if sampling takes more steps than the network was trained for."""
    if steps > train_steps:
        raise ScheduleError(
            f"sampling takes {steps} steps, but the network was trained on a schedule of "
            f"{train_steps}: take {train_steps} or fewer"
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
    """Sample clean images like `lq` (N, 3, H, W) in [0, 1]; not clamped.

    Args:
        predict_noise: the network, called once per step on all images.
        lq: degraded images (N, 3, H, W) in [0, 1].
        schedule: on the device of `lq`. With fewer steps than in training sampling is faster; the
            steps stride over the same times, as in the authors' code.
        method: posterior draws x_{t-1} given x_t and the x0 that the predicted noise implies (the
            authors' default since 2024); sde follows the reverse SDE; ode its probability flow,
            which adds no noise.
        train_steps: T of the training's schedule; by default that of `schedule`.
        generator: source of the noise at the start and in each step.
        start: the state at T; by default lq with noise of max_sigma.
        progress: wraps the times, for example in a progress bar.

    Raises:
        ScheduleError: the schedule has more steps than the network was trained for, or `method` is
            not one of METHODS.
    """
    if method not in METHODS:
        raise ScheduleError(f"no sampling method {method!r}; there are {', '.join(METHODS)}")
    train_steps = train_steps or schedule.steps
    check_steps(schedule.steps, train_steps)
    x = start
    if x is None:
        x = lq + schedule.max_sigma * normal_like(lq, generator)
    step = STEPS[method]
    times = range(schedule.steps, 0, -1)
    for t in progress(times) if progress else times:
        # Time t of this schedule on the scale of the training's times.
        train_time = t * train_steps / schedule.steps
        noise = predict_noise(x, train_time)
        x = step(x, lq, noise, t, schedule, generator)
    return x


def _posterior(
    x: Tensor,
    lq: Tensor,
    noise: Tensor,
    t: int,
    s: Schedule,
    generator: Generators,
) -> Tensor:
    x0 = sde.x0_from_noise(x, lq, noise, t, s)
    mean = sde.optimum_step(x, x0, lq, t, s)
    return mean + sde.posterior_std(t, s) * normal_like(x, generator)


def _sde(
    x: Tensor,
    lq: Tensor,
    noise: Tensor,
    t: int,
    s: Schedule,
    generator: Generators,
) -> Tensor:
    score = sde.score(noise, t, s)
    mean = sde.reverse_sde_mean(x, lq, score, t, s)
    # The sign of the noise is that of the authors' code.
    return mean - sde.dispersion_std(t, s) * normal_like(x, generator)


def _ode(
    x: Tensor,
    lq: Tensor,
    noise: Tensor,
    t: int,
    s: Schedule,
    generator: Generators,
) -> Tensor:
    score = sde.score(noise, t, s)
    return sde.reverse_ode_step(x, lq, score, t, s)


STEPS = {"posterior": _posterior, "sde": _sde, "ode": _ode}
"""Function from x_t to x_{t-1} of each method."""
