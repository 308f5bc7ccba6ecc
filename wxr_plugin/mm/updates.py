"""Looking at each update of the weights before MMEngine makes it, whichever optimiser wrapper makes it.

A hook of MMEngine comes before an iteration or after it, never between gradient and update. So the
wrapper's own `backward` and `step` are called through here: all else, accumulation and mixed
precision included, is the host's.
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
from wxr_plugin.utils.ranks import any_rank, gathered


class Updates:
    """The updates of a run.

    Attributes:
        guard: counts and reports updates that are dropped; None where nobody asked for it.
        dropped: whether the last update was.
        images: what the batches since the last update were made of.
    """

    def __init__(self, wrapper: OptimWrapper, model: nn.Module):
        self.wrapper, self.model = wrapper, model
        self.guard: NanGuard | None = None
        self.dropped = False
        self.images: list[str] = []
        self._losses: list[Tensor] = []
        self._buffers: list[tuple[Tensor, Tensor]] = []
        self._backward, self._step = wrapper.backward, wrapper.step
        wrapper.backward = self.backward
        wrapper.step = functools.wraps(wrapper.step)(
            lambda **kwargs: self.step(**kwargs)
        )  # with its marks
        wrapper.updates = self

    def begin(self, iteration: int, images: list[str]) -> None:
        """Iteration `iteration`, counted from 1, begins; the first one after an update opens a window."""
        self.iteration = iteration
        if not self._losses:
            self.images = []
            buffers = self.model.buffers() if self._looks() else ()
            self._buffers = [(buffer, buffer.clone()) for buffer in buffers]
        self.images = [*self.images, *images]

    def counted(self) -> bool:
        """Whether the iteration that has just ended has changed the weights."""
        return self.wrapper.should_update() and not self.dropped

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """The wrapper's; the loss is remembered until the update."""
        self._losses.append(loss.detach())
        self._backward(loss, **kwargs)

    def step(self, **kwargs: Any) -> None:
        """The wrapper's, unless a loss or gradient on any rank is not finite."""
        losses, self._losses = self._losses, []
        self.dropped = self._looks() and any_rank(
            not all_finite([*losses, *self._gradients()]), losses[0].device
        )
        if self.dropped:
            return self._drop(losses, **kwargs)
        self._step(**kwargs)
        if self.guard:
            self.guard.accept()

    def _looks(self) -> bool:
        return self.guard is not None or hasattr(self.wrapper, "loss_scaler")

    def _gradients(self) -> list[Tensor]:
        groups = self.wrapper.optimizer.param_groups
        return [p.grad for group in groups for p in group["params"] if p.grad is not None]

    def _drop(self, losses: list[Tensor], **kwargs: Any) -> None:
        """Leave everything as it was before the window.

        A loss scaler is told, and skips the update by itself.
        """
        scale, bad_loss = 1.0, not all_finite(losses)
        if hasattr(self.wrapper, "loss_scaler"):
            scale = self.wrapper.loss_scaler.get_scale()
            if not all_finite(self._gradients()):
                self._step(**kwargs)
        with torch.no_grad():
            for buffer, before in self._buffers:
                buffer.copy_(before)
        shares = gathered((bad_loss, self.images))
        bad = [images for is_bad, images in shares if is_bad]
        if self.guard and (
            bad or scale <= 1
        ):  # else fp16's loss scale was too large, as it is at the start of a run
            images = [
                image for images in bad or [images for _, images in shares] for image in images
            ]
            print_log(self.guard.reject(self.iteration, images), "current", logging.WARNING)


def updates_of(runner: Runner) -> Updates:
    """The updates of a run, which all hooks share.

    Raises:
        OptionError: several optimisers, of which none of our hooks could say when the weights have
            changed.
    """
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper):
        raise OptionError(
            f"optim_wrapper is a {type(wrapper).__name__}: our hooks need one optimiser, an "
            f"OptimWrapper"
        )
    if not hasattr(wrapper, "updates"):
        Updates(wrapper, getattr(runner.model, "module", runner.model))
    return wrapper.updates


def images_of(batch: Any) -> list[str]:
    """Paths of a batch's degraded images, of every stream."""
    keys = (
        [key for key in batch if key.endswith("_path") and key != "gt_path"]
        if isinstance(batch, dict)
        else []
    )
    return [str(path) for key in keys for path in batch[key]]
