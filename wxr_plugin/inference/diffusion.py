"""Restoring by sampling an IR-SDE with a network that predicts its noise."""

import inspect
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wxr_plugin.archs.context import Context
from wxr_plugin.inference.tiled_sampling import sample_tiled
from wxr_plugin.sampling.noise import image_generator
from wxr_plugin.sampling.options import SamplingOptions, SDEOptions
from wxr_plugin.sampling.sampler import check_steps


class Diffusion(NamedTuple):
    """An equation, and how it is sampled."""

    sde: SDEOptions
    sampling: SamplingOptions
    same_noise: bool = False
    """Every image starts from the same noise: what does not move in the frames of a video does not flicker."""

    def checked(self, same_noise: bool) -> "Diffusion":
        """With `same_noise`. Raises ScheduleError for more steps than were trained."""
        check_steps(self.sampling.steps or self.sde.steps, self.sde.steps)
        return self._replace(same_noise=same_noise)

    def sample(self, net: nn.Module, lq: Tensor, context: Context | None, tile: int | None, overlap: int) -> Tensor:
        """Restorations (N, 3, H, W), not clamped, of `lq`; raises ScheduleError for more steps than were trained."""
        how = self.sampling
        return sample_tiled(
            lambda xt, part, time: predict(net, xt, part, time, context),
            lq,
            self.sde.make(how.steps).to(lq.device),
            tile=tile,
            overlap=overlap,
            method=how.method,
            train_steps=self.sde.steps,
            generator=[self._generator(image) for image in lq],
        )

    def _generator(self, image: Tensor) -> torch.Generator:
        if self.same_noise:
            return torch.Generator().manual_seed(self.sampling.seed)
        return image_generator(image, self.sampling.seed)


def predicts_noise(net: nn.Module) -> bool:
    """Whether `net` is one of a diffusion: its forward takes a `time`."""
    return "time" in inspect.signature(net.forward).parameters


def predict(net: nn.Module, xt: Tensor, lq: Tensor, time: Tensor | float, context: Context | None) -> Tensor:
    """The noise that `net` finds in the state `xt`; with `context` where it takes one."""
    return net(xt, lq, time) if context is None else net(xt, lq, time, context)
