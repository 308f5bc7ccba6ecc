"""One update of the weights (accumulation, NaN guard, clipping, step), and the learning rate."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from basicsr.utils import get_root_logger
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from wxr_plugin.models.base.checkpointer import TrainingState
from wxr_plugin.models.base.guard import FiniteCheck, all_finite
from wxr_plugin.options.train import WxrTrainOptions, uses_cuda_graphs
from wxr_plugin.utils.ranks import any_rank, gathered


@dataclass
class Window:
    """The batches between two updates, of which a NaN in one drops all."""

    losses: list[Tensor] = field(default_factory=list)
    """Losses of its batches so far, scalars without gradients."""
    images: list[str] = field(default_factory=list)
    """Paths of its images so far."""
    buffers: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """Each buffer of the networks, and a copy from before the first batch."""


class UpdateStep:
    """Sums up gradients of `accumulate` batches, then updates the weights or drops the update.

    For iteration i: `open` if `begins(i)`, then `add`, then `apply` if `is_due(i)`.

    Args:
        state: networks, optimisers, loss scaler and NaN guard.
        options: the `train` block, of which `accumulate`, `clip_grad` and `compile` are used.
        device: of the networks.
        finite_check: stops the run if a dropped update is due to weights that are not finite.
    """

    def __init__(
        self,
        state: TrainingState,
        options: WxrTrainOptions,
        device: torch.device,
        finite_check: FiniteCheck,
    ):
        self.state = state
        self.options = options
        self.device = device
        self.finite_check = finite_check
        self.window: Window | None = None

    def begins(self, iteration: int) -> bool:
        """Return whether `iteration` (from 1) is the first of a window, or of a resumed run."""
        return self.window is None or (iteration - 1) % self.options.accumulate == 0

    def is_due(self, iteration: int) -> bool:
        """Return whether the weights are updated after `iteration`."""
        return iteration % self.options.accumulate == 0

    def open(self) -> None:
        """Begin a window: clear the gradients and copy what a dropped update has to restore."""
        if uses_cuda_graphs(self.options.compile):
            # outputs of the last update may be overwritten from here on
            torch.compiler.cudagraph_mark_step_begin()
        self._clear_gradients()
        self.window = Window()
        if self._checks_finite():
            nets = self.state.networks().values()
            buffers = [buffer for net in nets for buffer in net.buffers()]
            self.window.buffers = [(buffer, buffer.clone()) for buffer in buffers]

    def add(
        self, iteration: int, compute: Callable[[], Mapping[str, Tensor]], images: list[str]
    ) -> Mapping[str, Tensor]:
        """Add the gradients of a batch to those of the window.

        Args:
            iteration: number of the batch.
            compute: returns its weighted losses, scalars keyed by name; their sum is minimised.
            images: paths of its images, for the message of the NaN guard.

        Returns:
            The losses of `compute`.
        """
        with nullcontext() if self.is_due(iteration) else self._unsynchronised():
            losses = compute()
            # the mean over the window's batches, as if they were one batch
            loss = sum(losses.values()) / self.options.accumulate
            self.state.scaler.scale(loss).backward()
        self.window.losses += [loss.detach() for loss in losses.values()]
        self.window.images += images
        return losses

    def apply(self, iteration: int) -> bool:
        """Update the weights with the gradients of the window; return False if it was dropped.

        Every rank has to call it.

        Raises:
            NonFiniteError: too many updates in a row were dropped, or the weights are not finite.
        """
        scaler = self.state.scaler
        for optimizer in self.state.optimizers:
            scaler.unscale_(optimizer)
        if self._checks_finite():
            is_bad = not all_finite([*self.window.losses, *self._gradients()])
            if any_rank(is_bad, self.device):
                self._drop(iteration)
                return False
        for optimizer in self.state.optimizers:
            if self.options.clip_grad:
                torch.nn.utils.clip_grad_norm_(_parameters(optimizer), self.options.clip_grad)
            scaler.step(optimizer)
        scaler.update()
        if self.state.guard:
            self.state.guard.accept()
        return True

    def _checks_finite(self) -> bool:
        return self.state.guard is not None or self.state.scaler.is_enabled()

    @contextmanager
    def _unsynchronised(self) -> Iterator[None]:
        """Sum up gradients on each rank alone, until the last batch averages them over ranks."""
        with ExitStack() as stack:
            for net in self.state.networks().values():
                if isinstance(net, DistributedDataParallel):
                    stack.enter_context(net.no_sync())
            yield

    def _drop(self, iteration: int) -> None:
        """Restore gradients and running statistics to their values before the window."""
        with torch.no_grad():
            for buffer, before in self.window.buffers:
                buffer.copy_(before)
        self._clear_gradients()
        scale = self.state.scaler.get_scale()
        self.state.scaler.update()
        shares = gathered((not all_finite(self.window.losses), self.window.images))
        bad_shares = [images for is_bad, images in shares if is_bad]
        # without a bad loss the scale of fp16 was too large, as it is at the start of a run
        if self.state.guard and (bad_shares or scale <= 1):
            # an earlier update may have spoilt the weights, and then every further one is dropped
            self.finite_check.require(f"iteration {iteration}: loss or gradient is not finite")
            suspects = bad_shares or [images for _, images in shares]
            images = [image for images in suspects for image in images]
            get_root_logger().warning(self.state.guard.reject(iteration, images))

    def _clear_gradients(self) -> None:
        for optimizer in self.state.optimizers:
            optimizer.zero_grad()

    def _gradients(self) -> list[Tensor]:
        parameters = [p for optimizer in self.state.optimizers for p in _parameters(optimizer)]
        return [parameter.grad for parameter in parameters if parameter.grad is not None]


def batch_images(batch: Mapping[str, Any]) -> list[str]:
    """Return the paths of the degraded images of a batch, of every stream."""
    keys = [key for key in batch if key.endswith("_path") and key != "gt_path"]
    return [str(path) for key in keys for path in batch[key]]


def _parameters(optimizer: Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial rate down to `eta_min` (SGDR, eq. 5), then constant.

    SGDR is by Loshchilov and Hutter (ICLR 2017).
    torch's class of this name rises again after T_max, and takes T_max from a training state; here
    the options decide, so that a run can be resumed with a larger total_iter.

    Args:
        optimizer: whose rates it sets.
        T_max: iterations until `eta_min`; WxrModel passes total_iter unless the options set it.
        eta_min: lowest rate.
    """

    def __init__(self, optimizer: Optimizer, T_max: int | None = None, eta_min: float = 0.0):
        if T_max is None:
            raise ValueError("CosineAnnealingLR needs T_max, the iterations until its lowest rate.")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        """Return the rate of each parameter group after `last_epoch` steps."""
        share = (1 + math.cos(math.pi * min(self.last_epoch / self.T_max, 1.0))) / 2
        return [self.eta_min + (rate - self.eta_min) * share for rate in self.base_lrs]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take position and initial rates from a state, but not the shape of the schedule."""
        super().load_state_dict({**state_dict, "T_max": self.T_max, "eta_min": self.eta_min})
