"""One update: forward, backward, accumulation, the NaN guard, clipping, the step, and the EMA."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext

import torch
from basicsr.utils import get_root_logger
from torch.nn.parallel import DistributedDataParallel

from wxr_plugin.models.base.guard import all_finite
from wxr_plugin.options.train import uses_cuda_graphs
from wxr_plugin.utils.ranks import any_rank, gathered


class Updating:
    """The part of WxrModel that trains.

    The batches between two updates (one, unless `train.accumulate` says more) are a window: their
    gradients add up, and a NaN in one of them drops the update of all.
    """

    def optimize_parameters(self, current_iter: int) -> None:
        """One iteration; each `train.accumulate`-th one updates the weights."""
        self.iteration = current_iter
        if (current_iter - 1) % self.options.accumulate == 0 or not hasattr(self, "window"):
            self._open_window()
        updates = current_iter % self.options.accumulate == 0
        with nullcontext() if updates else self._unsynchronised():
            losses = self.losses(current_iter)
            self.scaler.scale(sum(losses.values()) / self.options.accumulate).backward()
        self.window["losses"] += [loss.detach() for loss in losses.values()]
        self.window["images"] += self._images()
        if updates:
            self._update(current_iter)
        self.log_dict = self.reduce_loss_dict(losses)
        self.clock.done()
        self._show_progress(current_iter)

    @property
    def updates(self) -> int:
        """Updates so far by the schedule, one for every `train.accumulate` iterations; dropped ones count too."""
        return self.iteration // self.options.accumulate

    def model_ema(self, decay: float = 0.999) -> None:
        """The host's for parameters.

        Buffers are copied: they are constants, counters or running averages already.
        """
        super().model_ema(decay)
        for average, buffer in zip(
            self.net_g_ema.buffers(), self.get_bare_model(self.net_g).buffers()
        ):
            average.copy_(buffer)

    @contextmanager
    def _unsynchronised(self) -> Iterator[None]:
        """Add up gradients on each rank alone, in every trained network; the last batch of a window averages them."""
        with ExitStack() as stack:
            for net in self.networks().values():
                if isinstance(net, DistributedDataParallel):
                    stack.enter_context(net.no_sync())
            yield

    def _open_window(self) -> None:
        """Begin the batches of one update."""
        if uses_cuda_graphs(self.options.compile):
            torch.compiler.cudagraph_mark_step_begin()  # outputs of the last update may be overwritten
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        buffers = self.get_bare_model(self.net_g).buffers() if self._looks() else ()
        self.window = {
            "losses": [],
            "images": [],
            "buffers": [(buffer, buffer.clone()) for buffer in buffers],
        }

    def _looks(self) -> bool:
        return self.guard is not None or self.scaler.is_enabled()

    def _update(self, current_iter: int) -> None:
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        if self._looks() and any_rank(
            not all_finite([*self.window["losses"], *self._gradients()]), self.device
        ):
            return self._drop(current_iter)
        for optimizer in self.optimizers:
            if self.options.clip_grad:
                torch.nn.utils.clip_grad_norm_(
                    [p for g in optimizer.param_groups for p in g["params"]], self.options.clip_grad
                )
            self.scaler.step(optimizer)
        self.scaler.update()
        if self.guard:
            self.guard.accept()
        if self.ema_decay > 0:
            self.model_ema(decay=self.ema_decay)
        self.after_step(current_iter)

    def _drop(self, current_iter: int) -> None:
        """Leave everything as it was before these batches: gradients, and the running statistics they have touched."""
        with torch.no_grad():
            for buffer, before in self.window["buffers"]:
                buffer.copy_(before)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        scale = self.scaler.get_scale()
        self.scaler.update()
        shares = gathered((not all_finite(self.window["losses"]), self.window["images"]))
        bad = [images for is_bad, images in shares if is_bad]
        if self.guard and (
            bad or scale <= 1
        ):  # else fp16's loss scale was too large, as it is at the start of a run
            # an earlier update may have spoilt the weights themselves, and then every further one
            # is dropped
            self.refuse_not_finite(f"iteration {current_iter}: loss or gradient is not finite")
            images = [
                image for images in bad or [images for _, images in shares] for image in images
            ]
            get_root_logger().warning(self.guard.reject(current_iter, images))

    def _gradients(self) -> list[torch.Tensor]:
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        return [p.grad for group in groups for p in group["params"] if p.grad is not None]

    def _images(self) -> list[str]:
        """Paths of the batch's degraded images, of every stream."""
        keys = [key for key in self.data if key.endswith("_path") and key != "gt_path"]
        return [str(path) for key in keys for path in self.data[key]]
