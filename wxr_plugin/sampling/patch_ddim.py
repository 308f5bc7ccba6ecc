"""WeatherDiff's sampler (Özdenizci and Legenstein, TPAMI 2023): DDIM whose noise is the mean of overlapping patches.

The network sees patches of the size that it was trained for; the state is one, of the whole image.
Unlike an IR-SDE's (`sampler.py`) it starts as pure noise, on the scale [-1, 1] of clean images. All
functions are pure.
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
"""predict(xt, lq, time): noise in patches of the state, beside those of the degraded image in [0, 1]."""


def alpha_bars(train_steps: int = TRAIN_STEPS, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """Share of the clean image in the variance of a state: (train_steps + 1,) float32, 1 and then that of each time.

    `first` and `last` are the betas between which DDPM's run in a straight line. Time t has entry t
    + 1.
    """
    betas = torch.linspace(first, last, train_steps, dtype=torch.float64).float()
    return torch.cat((torch.ones(1), 1 - betas)).cumprod(0)


def sampling_times(steps: int, train_steps: int = TRAIN_STEPS) -> list[int]:
    """Multiples of train_steps // steps below train_steps, the largest first; more than `steps` if it does not divide.

    Raises ScheduleError if `steps` is not in 1 … train_steps.
    """
    if steps < 1:
        raise ScheduleError(f"sampling takes at least one step, not {steps}")
    check_steps(steps, train_steps)
    return list(range(0, train_steps, train_steps // steps))[::-1]


def ddim_step(xt: Tensor, noise: Tensor, now: Tensor, then: Tensor) -> Tensor:
    """The state whose alpha bar is `then` from the one with `now`, eta 0; with then = 1 the clean image in [-1, 1]."""
    clean = (xt - noise * (1 - now).sqrt()) / now.sqrt()
    return then.sqrt() * clean + (1 - then).sqrt() * noise


def patch_corners(height: int, width: int, patch: int, stride: int) -> list[tuple[int, int]]:
    """Tops and lefts of patches every `stride` pixels, row by row.

    Where the last patch does not end with the image, another one does (our choice; the authors
    resize their images to multiples of 16, so that theirs do). Raises ValueError if patches leave
    gaps or do not fit into the image.
    """
    if not 1 <= stride <= patch <= min(height, width):
        raise ValueError(
            f"patches of {patch} pixels every {stride} cannot cover an image of {width}x{height}"
        )
    tops, lefts = ([*range(0, side - patch, stride), side - patch] for side in (height, width))
    return [(top, left) for top in tops for left in lefts]


def noise_in_patches(
    predict: PredictPatches,
    xt: Tensor,
    lq: Tensor,
    time: float,
    patch: int = 64,
    stride: int = 16,
    batch: int = 64,
) -> Tensor:
    """The noise in `xt` (N, 3, H, W), each pixel the mean of all patches that cover it.

    Args:
        predict: called on at most `batch` places at once, that is on N times as many patches.
        lq: degraded images in [0, 1], like `xt`. H and W are at least `patch`.
        patch: side of the patches, in pixels; the network's `image_size`.
        stride: pixels from one patch to the next, 1 to `patch`; the authors' grid_r, 16 or, slower
            and better, 4.

    Raises ValueError as `patch_corners`.
    """
    corners = patch_corners(*xt.shape[-2:], patch, stride)
    total, count = torch.zeros_like(xt), xt.new_zeros(1, 1, *xt.shape[-2:])
    for start in range(0, len(corners), batch):
        areas = [
            (..., slice(y, y + patch), slice(x, x + patch))
            for y, x in corners[start : start + batch]
        ]
        states, seen = (torch.cat([image[area] for area in areas]) for image in (xt, lq))
        for area, noise in zip(areas, predict(states, seen, time).chunk(len(areas)), strict=True):
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
    """Clean images like `lq` (N, 3, H, W) in [0, 1]; not clamped (the authors' are).

    Args:
        predict: the network, a `WeatherDiff` or whatever is called like it.
        lq: of any size; extended by reflection to one patch where it is smaller (our choice).
        steps: as in `sampling_times`; the authors take 25.
        patch, stride, batch: as in `noise_in_patches`.
        train_steps: times that the network was trained for.
        generator: of the noise at the start; there is no other.
        start: that noise itself, (N, 3, H, W), with sides of at least a patch.
        progress: wraps the times, say tqdm.

    Raises:
        ValueError: as `patch_corners`.
        ScheduleError: there are fewer steps than one, or more than the network was trained for.
    """
    wide = extended(lq, 1, patch)
    x = normal_like(wide, generator) if start is None else start
    bars, times = alpha_bars(train_steps), sampling_times(steps, train_steps)
    before = dict(zip(times, [*times[1:], -1], strict=True))
    for time in progress(times) if progress else times:
        noise = noise_in_patches(predict, x, wide, float(time), patch, stride, batch)
        x = ddim_step(x, noise, bars[time + 1], bars[before[time] + 1])
    return cropped((x + 1) / 2, lq)
