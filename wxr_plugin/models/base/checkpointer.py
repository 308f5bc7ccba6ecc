"""Saving and resuming: network files for users, and one training state that holds everything.

`models/net_g_<iter>.pth` holds {'params', 'params_ema', 'network_g'}: what inference and stock
BasicSR load, with the options of the network. `training_states/<iter>.state`, written after it,
holds the run: networks, EMA, optimisers, schedules, loss scaler, random generators of every rank,
best metrics, counts and the subclass's own state. It is replaced atomically and is all that
resuming needs, so there is no moment at which a kill leaves halves that do not fit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import get_dist_info, master_only
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from wxr_plugin.checkpoints.containers import save_state
from wxr_plugin.checkpoints.reading import CheckpointError, is_whole
from wxr_plugin.models.base.guard import NanGuard, state_tensors, trained
from wxr_plugin.utils.ranks import gathered
from wxr_plugin.utils.rng import rng_state, set_rng_state


@dataclass
class TrainingState:
    """The parts of a run that updates change and that a checkpoint holds."""

    networks: Callable[[], Mapping[str, nn.Module]]
    """Returns each trained network, keyed by its label (`net_g`)."""
    average: nn.Module | None
    """The EMA of net_g, if the options ask for one."""
    optimizers: list[Optimizer]
    """Optimisers of the networks."""
    schedulers: list[LRScheduler]
    """A learning-rate schedule for each optimiser."""
    scaler: torch.amp.GradScaler
    """Loss scaler; disabled except for fp16."""
    guard: NanGuard | None
    """NaN guard, if the options ask for one."""
    best: dict[str, dict[str, dict]]
    """Validation set -> metric -> its best value so far."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything in plain types and tensors on the CPU."""
        networks = {label: weights_of(net) for label, net in self.networks().items()}
        return {
            "networks": networks,
            "ema": weights_of(self.average) if self.average is not None else None,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "scaler": self.scaler.state_dict(),
            "best": self.best,
            "guard": self.guard.state_dict() if self.guard else None,
        }

    def load_networks(self, state: Mapping[str, Any], ignored: list[str]) -> None:
        """Restore the weights of networks and EMA, unless `ignored` names them (`network_g`).

        Raises KeyError or RuntimeError for weights of other networks. An EMA that the state does
        not have starts from the restored weights. A state of stock BasicSR has no weights.
        """
        networks = self.networks()
        for label, weights in state.get("networks", {}).items():
            if option_key(label) not in ignored:
                bare(networks[label]).load_state_dict(weights)
        if self.average is not None and "networks" in state and "network_g" not in ignored:
            self.average.load_state_dict(state["ema"] or weights_of(networks["net_g"]))

    def load_progress(self, state: Mapping[str, Any]) -> None:
        """Restore loss scaler, best metrics and the counts of the NaN guard."""
        # the state of a scaler that was disabled is empty
        self.scaler.load_state_dict(state["scaler"] or self.scaler.state_dict())
        self.best.clear()
        self.best.update(state["best"])
        if self.guard and state["guard"]:
            self.guard.load_state_dict(state["guard"])

    def tensors(self) -> dict[str, list[Tensor]]:
        """Return what has to be finite in a checkpoint, keyed by a name for messages."""
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        nets = self.networks().values()
        return {
            "weights": [tensor for net in nets for tensor in trained(net)],
            "averaged weights (EMA)": trained(self.average) if self.average is not None else [],
            "the optimiser's state": state_tensors(optimizers),
        }


class Checkpointer:
    """Writes and reads the checkpoints of a run, and deletes old ones.

    Args:
        opt: options of the run; `path`, `manual_seed` and the blocks of networks are used.
        state: what a checkpoint holds.
        keep: number of numbered checkpoints to keep; all when None.
    """

    def __init__(self, opt: Mapping[str, Any], state: TrainingState, keep: int | None):
        self.opt = opt
        self.state = state
        self.keep = keep

    @property
    def models(self) -> Path:
        """Folder of the .pth files."""
        return Path(self.opt["path"]["models"])

    @property
    def states(self) -> Path:
        """Folder of the training states."""
        return Path(self.opt["path"]["training_states"])

    def save_network(
        self,
        nets: Mapping[str, nn.Module],
        label: str,
        iteration: int | str,
        metadata: Mapping[str, Any],
    ) -> None:
        """Write `<label>_<iteration>.pth` atomically.

        Args:
            nets: networks, keyed by the name of their weights in the file (`params`, `params_ema`).
            label: `net_g`, whose options (`network_g`) are stored next to the weights.
            iteration: a number or `best`; -1 is written as `latest`.
            metadata: further entries, of plain types.
        """
        content: dict[str, Any] = {key: weights_of(net) for key, net in nets.items()}
        if option_key(label) in self.opt:
            content[option_key(label)] = plain(self.opt[option_key(label)])
        name = "latest" if iteration == -1 else iteration
        save_state(self.models / f"{label}_{name}.pth", {**content, **metadata})

    def save_state(self, epoch: int, iteration: int, extra: Callable[[], dict]) -> None:
        """Write `<iteration>.state`, then delete the checkpoints that `keep` leaves out.

        Every rank has to call it. `extra` returns the subclass's own state; only rank 0 calls it.
        """
        rng = gathered(rng_state())
        if get_dist_info()[0] != 0:
            return
        path = self.states / f"{iteration}.state"
        content = {"epoch": epoch, "iter": iteration, "manual_seed": self.opt["manual_seed"]}
        content |= self.state.state_dict()
        save_state(path, {**content, "extra": extra(), "rng": rng})
        # an unreadable new state must not cost the old ones
        if self.keep and is_whole(path):
            self._prune(iteration)

    def load_networks(self, state: Mapping[str, Any]) -> None:
        """Restore networks and EMA.

        Raises:
            CheckpointError: the state belongs to other networks.
        """
        ignored = self.opt["path"].get("ignore_resume_networks") or []
        try:
            self.state.load_networks(state, ignored)
        except (KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(
                f"{self.opt['path']['resume_state']}: a state of another network ({reason}). Give "
                "this run another `name`, or restore the network options with which it began."
            ) from error

    def load_rng(self, states: list[dict[str, Any]]) -> None:
        """Restore this rank's random generators, unless the number of ranks has changed."""
        rank, world_size = get_dist_info()
        if len(states) == world_size:
            set_rng_state(states[rank])
            return
        get_root_logger().warning(
            f"The state is one of {len(states)} processes and this run has {world_size}: training "
            "resumes, but not bit-equal."
        )

    @master_only
    def remove_partial_files(self) -> None:
        """Delete what killed saves have left under temporary names."""
        for folder in (self.states, self.models):
            for partial in folder.glob(".*.tmp"):
                partial.unlink()

    def _prune(self, iteration: int) -> None:
        """Delete all but the newest `keep` checkpoints up to `iteration`."""
        saved = [int(file.stem) for file in self.states.glob("*.state") if file.stem.isdigit()]
        # states beyond this iteration belong to a run that was resumed from an earlier one
        past = sorted(number for number in saved if number <= iteration)
        for number in past[: -self.keep]:
            for weights in self.models.glob(f"*_{number}.pth"):
                weights.unlink()
            (self.states / f"{number}.state").unlink()


def option_key(label: str) -> str:
    """Return the key of the options of a network: network_g for net_g."""
    return f"network_{label.removeprefix('net_')}"


def bare(net: nn.Module) -> nn.Module:
    """Return `net` without the wrapper of a distributed training."""
    return net.module if isinstance(net, DistributedDataParallel) else net


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers on the CPU, without the prefix of a distributed training."""
    return {name: value.detach().cpu() for name, value in bare(net).state_dict().items()}


def plain(options: Any) -> Any:
    """Return options as plain dicts and lists, without the classes of the YAML reader."""
    if isinstance(options, Mapping):
        return {key: plain(value) for key, value in options.items()}
    return [plain(value) for value in options] if isinstance(options, list | tuple) else options
