"""WeatherDiff's sampler (Özdenizci and Legenstein, TPAMI 2023): DDIM on overlapping patches.

The network predicts the noise of patches of its training size; the state is that of the whole
image, and its noise the mean over the patches. Unlike the state of an IR-SDE (`sampler.py`) it
starts as pure noise, and clean images have the scale [-1, 1]. All functions are pure.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from wxr_plugin.sampling.noise import Generators, normal_like
from wxr_plugin.sampling.sampler import check_steps
from wxr_plugin.sampling.schedules import ScheduleError
from wxr_plugin.utils.sizes import cropped, extended

TRAIN_STEPS = 1000
"""Times 0 … 999 of the published networks."""
PredictPatches = Callable[[Tensor, Tensor, float], Tensor]
"""predict(xt, lq, time): noise in patches of the state, given those of `lq` in [0, 1]."""


def alpha_bars(train_steps: int = TRAIN_STEPS, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """Return DDPM's cumulative products of 1 - beta, (train_steps + 1,) float32.

    Entry 0 is 1, for the clean image; time t has entry t + 1. Betas rise linearly from `first` to
    `last`.
    """
    betas = torch.linspace(first, last, train_steps, dtype=torch.float64)
    alphas = 1 - betas.float()  # the products are float32
    with_clean = torch.cat((torch.ones(1), alphas))
    return with_clean.cumprod(0)


def sampling_times(steps: int, train_steps: int = TRAIN_STEPS) -> list[int]:
    """Return the multiples of train_steps // steps below train_steps, the largest first.

    These are more than `steps` times if `steps` does not divide train_steps.

    Raises:
        ScheduleError: `steps` is not in 1 … train_steps.
    """
    if steps < 1:
        raise ScheduleError(f"sampling takes at least one step, not {steps}")
    check_steps(steps, train_steps)
    distance = train_steps // steps
    rising = range(0, train_steps, distance)
    return list(reversed(rising))


def ddim_step(xt: Tensor, noise: Tensor, now: Tensor, then: Tensor) -> Tensor:
    """Return the state with alpha bar `then` from `xt` with alpha bar `now`, by DDIM with eta = 0.

    With then = 1 this is the clean image in [-1, 1].
    """
    # xt = sqrt(now) x0 + sqrt(1 - now) noise
    noise_now = noise * (1 - now).sqrt()
    clean = (xt - noise_now) / now.sqrt()
    noise_then = (1 - then).sqrt() * noise
    return then.sqrt() * clean + noise_then


def patch_corners(height: int, width: int, patch: int, stride: int) -> list[tuple[int, int]]:
    """Return (top, left) of patches every `stride` pixels, row by row.

    The last patch of a row or column ends with the image, at a smaller distance if necessary (our
    choice; the authors resize their images to multiples of 16).

    Raises:
        ValueError: the patches leave gaps or do not fit into the image.
    """
    if not 1 <= stride <= patch <= min(height, width):
        raise ValueError(
            f"patches of {patch} pixels every {stride} cannot cover an image of {width}x{height}"
        )
    last_top = height - patch
    last_left = width - patch
    tops = [*range(0, last_top, stride), last_top]
    lefts = [*range(0, last_left, stride), last_left]
    corners = []
    for top in tops:
        for left in lefts:
            corners.append((top, left))
    return corners


def noise_in_patches(
    predict: PredictPatches,
    xt: Tensor,
    lq: Tensor,
    time: float,
    patch: int = 64,
    stride: int = 16,
    batch: int = 64,
) -> Tensor:
    """Predict the noise in `xt` (N, 3, H, W), each pixel the mean of all patches that cover it.

    Args:
        predict: the network.
        xt: states (N, 3, H, W), H and W at least `patch`.
        lq: degraded images in [0, 1], like `xt`.
        time: time of the states.
        patch: side of the patches in pixels; the network's `image_size`.
        stride: pixels from one patch to the next, 1 to `patch`; the authors' grid_r, 16 or, slower
            and better, 4.
        batch: number of positions per call of `predict`, which gets N patches of each.

    Raises:
        ValueError: the patches leave gaps or do not fit into the image.
    """
    height, width = xt.shape[-2:]
    corners = patch_corners(height, width, patch, stride)
    total = torch.zeros_like(xt)
    count = xt.new_zeros(1, 1, height, width)
    for start in range(0, len(corners), batch):
        areas = []
        for top, left in corners[start : start + batch]:
            rows = slice(top, top + patch)
            columns = slice(left, left + patch)
            areas.append((..., rows, columns))
        # (positions * N, 3, patch, patch), all images of a position together.
        states = torch.cat([xt[area] for area in areas])
        degraded = torch.cat([lq[area] for area in areas])
        noises = predict(states, degraded, time).chunk(len(areas))
        for area, noise in zip(areas, noises, strict=True):
            total[area] += noise
            count[area] += 1
    return total / count


@torch.no_grad()
def sample_in_patches(
    predict: PredictPatches,
    lq: Tensor,
    steps: int = 25,
    patch: int = 64,
    stride: int = 16,
    batch: int = 64,
    train_steps: int = TRAIN_STEPS,
    generator: Generators = None,
    start: Tensor | None = None,
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> Tensor:
    """Sample clean images like `lq` (N, 3, H, W) in [0, 1]; not clamped (the authors' are).

    Args:
        predict: the network, a `WeatherDiff` or a function with its signature.
        lq: degraded images of any size; smaller ones are extended by reflection to one patch (our
            choice).
        steps: as in `sampling_times`; the authors take 25.
        patch: as in `noise_in_patches`.
        stride: as in `noise_in_patches`.
        batch: as in `noise_in_patches`.
        train_steps: number of times that the network was trained for.
        generator: source of the initial noise; the steps add none.
        start: the initial noise itself, (N, 3, H, W), with sides of at least a patch.
        progress: wraps the times, for example in a progress bar.

    Raises:
        ValueError: the patches leave gaps.
        ScheduleError: `steps` is not in 1 … train_steps.
    """
    wide = extended(lq, 1, patch)
    x = normal_like(wide, generator) if start is None else start
    bars = alpha_bars(train_steps)
    times = sampling_times(steps, train_steps)
    # The time after each step; -1 is the clean image.
    following = dict(zip(times, [*times[1:], -1], strict=True))
    for time in progress(times) if progress else times:
        noise = noise_in_patches(predict, x, wide, float(time), patch, stride, batch)
        now = bars[time + 1]
        then = bars[following[time] + 1]
        x = ddim_step(x, noise, now, then)
    restored = (x + 1) / 2  # [-1, 1] -> [0, 1]
    return cropped(restored, lq)
