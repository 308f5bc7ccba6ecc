"""NaN and infinity: the guard that drops an update, and the check of weights before they are saved.

The guard looks at losses and gradients, so that neither weights, EMA nor pseudo-labels see a bad
update. A finite gradient may still make weights that are not finite: under a learning rate of 1e20,
or where its square overflows in Adam. Hence the check before each checkpoint, which keeps the last
finite one.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from wxr_plugin.checkpoints.containers import load_state
from wxr_plugin.errors import WxrError
from wxr_plugin.options.train import NanGuardOptions
from wxr_plugin.utils.ranks import any_rank

RUNNING = ("running_mean", "running_var")
"""Buffers that training changes.

Others may hold infinity on purpose, such as the mask of an attention.
"""


class NonFiniteError(WxrError, RuntimeError):
    """Too many updates in a row were not finite, or the weights themselves are not."""


def all_finite(tensors: Iterable[torch.Tensor]) -> bool:
    """Return whether no element of `tensors` is NaN or infinite."""
    tensors = [tensor.detach() for tensor in tensors if tensor.numel()]
    if not tensors:
        return True
    # the largest absolute value of all tensors needs one synchronisation with the device
    largest = torch.nn.utils.get_total_norm(tensors, norm_type=math.inf)
    return math.isfinite(largest.item())


class NanGuard:
    """Counts dropped updates and stops a run in which too many follow each other.

    Args:
        options: how many dropped updates in a row are allowed.

    Attributes:
        skipped: number of updates dropped since the run began.
        in_a_row: number of updates dropped since the last good one.
    """

    def __init__(self, options: NanGuardOptions):
        self.limit = options.stop_after if options.skip else 1
        self.skipped = 0
        self.in_a_row = 0

    def accept(self) -> None:
        """Count a good update, which ends a row of dropped ones."""
        self.in_a_row = 0

    def reject(self, iteration: int, images: list[str]) -> str:
        """Count a dropped update of a network whose weights are finite.

        Args:
            iteration: number of the last batch of the update.
            images: paths of the images in its batches.

        Returns:
            A line for the log.

        Raises:
            NonFiniteError: as many updates in a row were dropped as the options allow.
        """
        self.skipped += 1
        self.in_a_row += 1
        names = ", ".join(images) or "unknown"
        line = f"iteration {iteration}: loss or gradient is not finite; images: {names}"
        if self.in_a_row >= self.limit:
            raise NonFiniteError(
                f"{line}. That is {self.in_a_row} in a row, so training stops (train.nan_guard); "
                "the weights are finite, those of the last update that was not dropped. Look at "
                "these images, lower the learning rate, set train.clip_grad, or train without amp."
            )
        return f"{line}. Update dropped ({self.in_a_row} in a row, {self.skipped} in all)."

    def state_dict(self) -> dict[str, int]:
        """Return the counts, for a training state."""
        return {"skipped": self.skipped, "in_a_row": self.in_a_row}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore the counts that `state_dict` returned."""
        self.skipped = state["skipped"]
        self.in_a_row = state["in_a_row"]


class FiniteCheck:
    """Stops a run whose weights, averaged weights or optimiser state are not finite.

    Args:
        parts: returns the tensors to check, keyed by a name for the message.
        device: of the flag that ranks exchange.
        paths: the `path` block; `training_states` is searched for the newest finite state.
    """

    def __init__(
        self,
        parts: Callable[[], Mapping[str, list[torch.Tensor]]],
        device: torch.device,
        paths: Mapping[str, Any],
    ):
        self.parts = parts
        self.device = device
        self.paths = paths

    def require(self, context: str) -> None:
        """Raise NonFiniteError, which names the newest finite state, if any rank has a bad tensor.

        Every rank has to call it. `context` begins the message, such as "iteration 40: no
        checkpoint is written".
        """
        broken = [name for name, tensors in self.parts().items() if not all_finite(tensors)]
        if any_rank(bool(broken), self.device):
            # a rank whose own tensors are finite stops too, but cannot name the broken ones
            folder = Path(self.paths["training_states"])
            raise NonFiniteError(not_finite_message(context, broken or ["weights"], folder))


def trained(net: nn.Module) -> list[torch.Tensor]:
    """Return the parameters of `net` and the running statistics of its normalisations."""
    buffers = [buffer for name, buffer in net.named_buffers() if name.endswith(RUNNING)]
    return [*net.parameters(), *buffers]


def state_tensors(state: Any) -> list[torch.Tensor]:
    """Return every floating-point tensor in nested dicts and lists."""
    if isinstance(state, torch.Tensor):
        return [state] if state.is_floating_point() else []
    if isinstance(state, Mapping):
        items = list(state.values())
    else:
        items = state if isinstance(state, list | tuple) else []
    return [tensor for item in items for tensor in state_tensors(item)]


def not_finite_message(context: str, broken: Iterable[str], folder: Path) -> str:
    """Return the error of a run whose weights are not finite; `folder` has its training states."""
    newest = newest_finite(folder)
    resume = "Start again"
    if newest:
        resume = f"Resume from {newest}, the newest finite state (path.resume_state),"
    return (
        f"{context}: NaN or infinity in {' and '.join(broken)}, from this or an earlier update, so "
        f"training stops. {resume} with a lower learning rate or with train.clip_grad"
    )


def newest_finite(folder: Path) -> Path | None:
    """Return the newest training state in `folder` with finite weights and optimisers, if any."""
    states = [file for file in folder.glob("*.state") if file.stem.isdigit()]
    for file in sorted(states, key=lambda file: int(file.stem), reverse=True):
        try:
            state = load_state(file)
        except (OSError, WxrError):
            continue
        # other entries, such as the best metrics, may hold infinity
        if all_finite(state_tensors([state.get(k) for k in ("networks", "ema", "optimizers")])):
            return file
    return None
