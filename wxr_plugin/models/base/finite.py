"""Weights that are not finite: found before a checkpoint is written, so that the last finite one stays."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from wxr_plugin.checkpoints.containers import load_state
from wxr_plugin.errors import WxrError
from wxr_plugin.models.base.guard import NonFiniteError, all_finite
from wxr_plugin.utils.ranks import any_rank

WEIGHTS, AVERAGE, OPTIMIZER = "weights", "averaged weights (EMA)", "the optimiser's state"
RUNNING = ("running_mean", "running_var")
"""Buffers that training changes.

Others may hold infinity on purpose, such as the mask of an attention.
"""


class Finite:
    """The part of WxrModel that looks at weights, their average and the optimiser's state.

    The NaN guard looks at losses and gradients before an update. A finite gradient may still make
    weights that are not: under a learning rate of 1e20, or where its square overflows in Adam.
    """

    def not_finite(self) -> list[str]:
        """Return which of weights, their average and the optimiser's state hold NaN or infinity."""
        average = [self.net_g_ema] if hasattr(self, "net_g_ema") else []
        parts = {
            WEIGHTS: [
                tensor
                for net in self.networks().values()
                for tensor in trained(self.get_bare_model(net))
            ],
            AVERAGE: [tensor for net in average for tensor in trained(net)],
            OPTIMIZER: [
                tensor
                for optimizer in self.optimizers
                for tensor in state_tensors(optimizer.state_dict())
            ],
        }
        return [name for name, tensors in parts.items() if not all_finite(tensors)]

    def refuse_not_finite(self, what: str) -> None:
        """Stop training if weights, average or optimiser state are not finite on any rank.

        Every rank has to call it.

        Args:
            what: the start of the message, such as "iteration 40: no checkpoint is written".

        Raises:
            NonFiniteError: with the newest finite checkpoint of this run.
        """
        broken = self.not_finite()
        if any_rank(bool(broken), self.device):
            raise NonFiniteError(
                not_finite_message(what, broken or [WEIGHTS], self.opt["path"]["training_states"])
            )


def trained(net: nn.Module) -> list[torch.Tensor]:
    """Return the parameters of `net` and the running statistics of its normalisations."""
    return [
        *net.parameters(),
        *(buffer for name, buffer in net.named_buffers() if name.endswith(RUNNING)),
    ]


def state_tensors(state: Any) -> list[torch.Tensor]:
    """Return every floating-point tensor in nested dicts and lists."""
    if isinstance(state, torch.Tensor):
        return [state] if state.is_floating_point() else []
    items = (
        state.values()
        if isinstance(state, Mapping)
        else state
        if isinstance(state, list | tuple)
        else ()
    )
    return [tensor for item in items for tensor in state_tensors(item)]


def not_finite_message(what: str, broken: Iterable[str], folder: str | Path) -> str:
    """Return the error of a run whose weights are not finite; `folder` holds its training states."""
    newest = newest_finite(Path(folder))
    again = (
        f"Go on from {newest}, the newest finite state (path.resume_state),"
        if newest
        else "Start again"
    )
    return (
        f"{what}: NaN or infinity in {' and '.join(broken)}, from this or an earlier update, so "
        f"training stops. "
        f"{again} with a lower learning rate or with train.clip_grad"
    )


def newest_finite(folder: Path) -> Path | None:
    """Return the newest training state in `folder` whose weights and optimisers are finite; None if there is none."""
    states = [file for file in folder.glob("*.state") if file.stem.isdigit()]
    for file in sorted(states, key=lambda file: int(file.stem), reverse=True):
        try:
            state = load_state(file)
        except (OSError, WxrError):
            continue
        if all_finite(
            state_tensors([state.get("networks"), state.get("ema"), state.get("optimizers")])
        ):
            return file
    return None
