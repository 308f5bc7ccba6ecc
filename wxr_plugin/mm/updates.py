"""Check of each update of the weights before MMEngine makes it, for any optimiser wrapper.

A hook of MMEngine runs before an iteration or after it, never between gradient and update. So the
`backward` and `step` of the wrapper are called through here; everything else, accumulation and
mixed precision included, stays MMEngine's.
"""

import functools
import logging
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from wxr_plugin.errors import OptionError
from wxr_plugin.models.base.guard import NanGuard, all_finite
from wxr_plugin.models.base.optimisation import batch_images
from wxr_plugin.utils.ranks import any_rank, gathered


class Updates:
    """Observer of the updates of a run.

    Args:
        wrapper: its `backward` and `step` are replaced by those of this object.
        model: a dropped update restores its buffers.

    Attributes:
        guard: counts and reports dropped updates, if WxrNanGuardHook has set one.
        dropped: whether the last update was dropped.
        images: paths of the images in the batches since the last update.
    """

    def __init__(self, wrapper: OptimWrapper, model: nn.Module):
        self.wrapper = wrapper
        self.model = model
        self.guard: NanGuard | None = None
        self.dropped = False
        self.images: list[str] = []
        self._losses: list[Tensor] = []
        self._buffers: list[tuple[Tensor, Tensor]] = []
        self._backward = wrapper.backward
        self._step = wrapper.step
        wrapper.backward = self.backward
        # `wraps` keeps the mark by which MMEngine's schedulers know a `step` that they count
        wrapper.step = functools.wraps(wrapper.step)(lambda **kwargs: self.step(**kwargs))
        wrapper.updates = self

    def begin(self, iteration: int, images: list[str]) -> None:
        """Begin `iteration`, counted from 1; the first one after an update opens a window."""
        self.iteration = iteration
        if not self._losses:
            self.images = []
            # forward passes of the window change running statistics before its update is checked
            buffers = self.model.buffers() if self._checks_finite() else ()
            self._buffers = [(buffer, buffer.clone()) for buffer in buffers]
        self.images = [*self.images, *images]

    def counted(self) -> bool:
        """Return whether the iteration that has just ended has changed the weights."""
        return self.wrapper.should_update() and not self.dropped

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Call the wrapper's `backward`, and store the loss until the update."""
        self._losses.append(loss.detach())
        self._backward(loss, **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Call the wrapper's `step`, unless a loss or gradient on any rank is not finite."""
        losses = self._losses
        self._losses = []
        self.dropped = False
        if self._checks_finite():
            is_bad = not all_finite([*losses, *self._gradients()])
            self.dropped = any_rank(is_bad, losses[0].device)
        if self.dropped:
            return self._drop(losses, **kwargs)
        self._step(**kwargs)
        if self.guard:
            self.guard.accept()

    def _checks_finite(self) -> bool:
        return self.guard is not None or hasattr(self.wrapper, "loss_scaler")

    def _gradients(self) -> list[Tensor]:
        groups = self.wrapper.optimizer.param_groups
        return [p.grad for group in groups for p in group["params"] if p.grad is not None]

    def _drop(self, losses: list[Tensor], **kwargs: Any) -> None:
        """Restore the running statistics from before the window, and report the update."""
        has_bad_loss = not all_finite(losses)
        scale = 1.0
        if hasattr(self.wrapper, "loss_scaler"):
            scale = self.wrapper.loss_scaler.get_scale()
            # the scaler skips an update with bad gradients by itself, and lowers its scale
            if not all_finite(self._gradients()):
                self._step(**kwargs)
        with torch.no_grad():
            for buffer, before in self._buffers:
                buffer.copy_(before)
        shares = gathered((has_bad_loss, self.images))
        bad_shares = [images for is_bad, images in shares if is_bad]
        # without a bad loss the scale of fp16 was too large, as it is at the start of a run
        if self.guard and (bad_shares or scale <= 1):
            suspects = bad_shares or [images for _, images in shares]
            images = [image for images in suspects for image in images]
            print_log(self.guard.reject(self.iteration, images), "current", logging.WARNING)


def updates_of(runner: Runner) -> Updates:
    """Return the updates of a run, one object for all hooks.

    Raises:
        OptionError: there are several optimisers, so that no single update changes the weights.
    """
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper):
        raise OptionError(
            f"optim_wrapper is a {type(wrapper).__name__}: our hooks need one optimiser, an "
            "OptimWrapper"
        )
    if not hasattr(wrapper, "updates"):
        Updates(wrapper, getattr(runner.model, "module", runner.model))
    return wrapper.updates


def images_of(batch: Any) -> list[str]:
    """Return the paths of a batch's degraded images, of every stream; [] if it is not a dict."""
    return batch_images(batch) if isinstance(batch, dict) else []
