"""Restoration by sampling with a network that predicts noise: IR-SDE, or WeatherDiff in patches.

An image that is too large for the network at once is sampled in tiles.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wxr_plugin.archs.context import Context
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.tiling import run_tiled
from wxr_plugin.sampling import sde
from wxr_plugin.sampling.noise import image_generator
from wxr_plugin.sampling.options import SamplingOptions, SDEOptions
from wxr_plugin.sampling.patch_ddim import TRAIN_STEPS, sample_in_patches
from wxr_plugin.sampling.sampler import check_steps, sample
from wxr_plugin.sampling.schedules import Schedule

Noise = Callable[..., Tensor]
"""Noise predictor with the arguments (xt, lq, time) or (xt, lq, time, context)."""
Progress = Callable[[Iterable[int]], Iterable[int]]
"""Wraps the times of the sampling steps, as a progress bar does."""


class Diffusion(NamedTuple):
    """A stochastic differential equation and how it is sampled."""

    sde: SDEOptions
    sampling: SamplingOptions
    same_noise: bool = False
    """Every image starts from the same noise, so that still parts of a video do not flicker."""

    def checked(self, same_noise: bool) -> "Diffusion":
        """Return a copy with `same_noise`; raise ScheduleError for more steps than were trained."""
        check_steps(self.sampling.steps or self.sde.steps, self.sde.steps)
        return self._replace(same_noise=same_noise)

    def sample(
        self,
        net: Noise,
        lq: Tensor,
        context: Context | None,
        tile: int | None,
        overlap: int,
        batch: int = 1,
        device: torch.device | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Return restorations (N, 3, H, W), not clamped, of the degraded images `lq`.

        `progress` wraps the times of the steps. `device` draws the noise (default: that of `lq`),
        so that a photo in main memory gets the same noise as one on the GPU without a
        synchronisation. Raises ScheduleError for more steps than were trained.
        """
        how = self.sampling
        schedule = self.sde.make(how.steps).to(lq.device)
        return sample_tiled(
            # `part` is a tile of the degraded image, `context` always that of the whole image.
            lambda xt, part, time: self._noise(net, xt, part, time, context, schedule),
            lq,
            schedule,
            tile=tile,
            overlap=overlap,
            batch=batch,
            method=how.method,
            train_steps=self.sde.steps,
            generator=_generators(lq, self.sampling.seed, self.same_noise, device),
            progress=progress,
        )

    def _noise(
        self,
        net: Noise,
        xt: Tensor,
        lq: Tensor,
        time: Tensor | float,
        context: Context | None,
        schedule: Schedule,
    ) -> Tensor:
        """Return the noise in xt (N, 3, H, W) at a `time` of the training's schedule."""
        if not self.sde.precondition:
            return predict(net, xt, lq, time, context)
        # `schedule` is that of sampling, whose step has the noise of the state.
        step = round(float(time) * schedule.steps / self.sde.steps)
        return sde.preconditioned(
            lambda state: predict(net, state, lq, time, context), xt, lq, step, schedule
        )


class PatchDiffusion(NamedTuple):
    """Diffusion of WeatherDiff: one state of the whole image, denoised in overlapping patches."""

    patch: int
    """Side of the patches in pixels, as in training."""
    sampling: SamplingOptions
    same_noise: bool = False
    """As in `Diffusion`."""
    steps: int = 25
    """Where `sampling` names none: as many as the authors take."""
    stride: int = 16
    """Pixels from one patch to the next; the authors' grid_r."""
    train_steps: int = TRAIN_STEPS
    """Times that the network was trained for."""
    at_once: int = 64
    """Patches that the network sees together."""

    def with_stride(self, stride: int) -> "PatchDiffusion":
        """Return a copy with another `stride`; raise WxrError if the patches would leave gaps."""
        if not 1 <= stride <= self.patch:
            raise WxrError(
                f"a stride of {stride}: patches of {self.patch} pixels need 1 to {self.patch}"
            )
        return self._replace(stride=stride)

    def checked(self, same_noise: bool) -> "PatchDiffusion":
        """Return a copy with `same_noise`.

        Raises ScheduleError for more steps than were trained, WxrError for an IR-SDE's method.
        """
        steps = self.sampling.steps or min(self.steps, self.train_steps)
        check_steps(steps, self.train_steps)
        if self.sampling.method != "posterior":
            raise WxrError(
                f"'{self.sampling.method}' is a way to sample an IR-SDE; this network has DDIM "
                "alone"
            )
        return self._replace(same_noise=same_noise)

    def sample(
        self,
        net: Noise,
        lq: Tensor,
        context: Context | None,
        tile: int | None,
        overlap: int,
        batch: int = 1,
        device: torch.device | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Return restorations as `Diffusion.sample` does.

        `tile`, `overlap`, `batch` and `device` have no effect: `at_once` bounds the memory.
        """
        return sample_in_patches(
            lambda xt, part, time: predict(net, xt, part, time, context),
            lq,
            self.sampling.steps or min(self.steps, self.train_steps),
            self.patch,
            # Patches farther apart than their side would leave gaps.
            min(self.stride, self.patch),
            self.at_once,
            train_steps=self.train_steps,
            generator=_generators(lq, self.sampling.seed, self.same_noise, device),
            progress=progress,
        )


def sample_tiled(
    predict: Callable[[Tensor, Tensor, float], Tensor],
    lq: Tensor,
    schedule: Schedule,
    tile: int | None = 512,
    overlap: int = 64,
    batch: int = 1,
    **settings: Any,
) -> Tensor:
    """Return samples (N, 3, H, W), not clamped, of a network that sees tiles of `tile` pixels.

    There is one state of the whole image, so its noise is drawn once. At every step the network
    looks at overlapping tiles of it, and the noise that it finds in them is blended (our choice).
    Tiles that are sampled apart and blended in the end would each have found their own rain, and
    where they meet the image would be the mean of two: blurred.

    Args:
        predict: predict(xt, lq, time) returns the noise of tiles of the state and of the degraded
            image. Embeddings of the whole image are computed once, outside.
        lq, schedule, settings: as in `sample`.
        tile: side of the tiles, in pixels; a multiple of the network's stride spares it the
            padding. None: all at once.
        overlap: pixels that neighbouring tiles share, below `tile`.
        batch: tiles that `predict` is called on at once.

    Raises:
        ValueError: `overlap` is not below `tile`; and the errors of `sample`.
    """
    if not tile or max(lq.shape[-2:]) <= tile:
        return sample(lambda xt, time: predict(xt, lq, time), lq, schedule, **settings)

    def predict_in_tiles(xt: Tensor, time: float) -> Tensor:
        both = torch.cat((xt, lq), dim=1)  # (N, 6, H, W): state and degraded image are cut alike

        def predict_in_tile(part: Tensor) -> Tensor:
            state, degraded = part.chunk(2, dim=1)
            return predict(state, degraded, time)

        return run_tiled(predict_in_tile, both, tile, overlap, batch)

    return sample(predict_in_tiles, lq, schedule, **settings)


def make_diffusion(
    net: nn.Module,
    equation: dict[str, Any] | None,
    sampling: SamplingOptions | None = None,
    ddpm: dict[str, Any] | None = None,
) -> Diffusion | PatchDiffusion | None:
    """Return the diffusion of `net`: by the `sde` block, in patches, or None for a plain network.

    A network was trained on patches if its checkpoint has a `ddpm` block, as PatchDDPMModel writes
    it, or if it has an attribute `patch`. Raises WxrError for an `sde` block of such a network, and
    the errors of SDEOptions.
    """
    sampling, ddpm = sampling or SamplingOptions(), ddpm or {}
    patch = ddpm.get("patch", getattr(net, "patch", None))
    if patch and equation:
        raise WxrError(
            f"{type(net).__name__} is sampled by DDIM in patches, which no `sde` block describes: "
            "leave it out"
        )
    if patch:
        return PatchDiffusion(patch, sampling, train_steps=ddpm.get("steps", TRAIN_STEPS))
    return Diffusion(SDEOptions.read(equation), sampling) if equation else None


def _generators(
    lq: Tensor, seed: int, same_noise: bool, device: torch.device | None
) -> list[torch.Generator]:
    """Return a generator for each image of `lq` on `device` (default: that of `lq`)."""
    if same_noise:
        return [torch.Generator(device or lq.device).manual_seed(seed) for _ in lq]
    # Seeded by the image too, so that its noise does not depend on its place in the batch.
    return [image_generator(image, seed, device) for image in lq]


def predicts_noise(net: nn.Module) -> bool:
    """Return whether `net` predicts the noise of a diffusion: its forward takes a `time`."""
    return "time" in inspect.signature(net.forward).parameters


def predict(
    net: Noise, xt: Tensor, lq: Tensor, time: Tensor | float, context: Context | None
) -> Tensor:
    """Return the noise (N, 3, H, W) that `net` predicts for the state `xt`."""
    return net(xt, lq, time) if context is None else net(xt, lq, time, context)
