"""Saving and resuming: network files for users, and one training state that carries everything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import get_dist_info, master_only
from torch import nn

from wxr_plugin.checkpoints.containers import fit_prefix, load_weights, save_state
from wxr_plugin.checkpoints.fitting import load_into
from wxr_plugin.checkpoints.reading import CheckpointError, is_whole
from wxr_plugin.utils.ranks import gathered
from wxr_plugin.utils.rng import rng_state, set_rng_state


class Resuming:
    """The part of WxrModel that saves and resumes.

    `models/net_g_<iter>.pth` holds {'params', 'params_ema', 'network_g'}: what inference and stock
    BasicSR load, with the network's options. `training_states/<iter>.state`, written after it,
    holds the run: networks, EMA, optimisers, schedules, loss scaler, random generators of every
    rank, best metrics, counts and `extra_state()`. It is replaced in one step and is all that
    resuming needs, so there is no moment at which a kill leaves halves that do not fit.
    """

    def networks(self) -> dict[str, nn.Module]:
        """Label -> each trained network, which a training state holds. A subclass adds its own."""
        return {"net_g": self.net_g}

    def extra_state(self) -> dict[str, Any]:
        """What a subclass wants in the training state; plain types and tensors only.

        Taken on rank 0.
        """
        return {}

    def beside_weights(self) -> dict[str, Any]:
        """What a .pth holds beside weights and network, for those who restore with them; plain types only."""
        return {"guide": _plain(self.opt["guide"])} if self.opt.get("guide") else {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Put back what `extra_state` gave."""

    def save(self, epoch: int, current_iter: int) -> None:
        """Save the networks, then the training state; -1 (the host's end of training) saves net_g_latest.pth alone.

        Raises:
            NonFiniteError: weights, their average or the optimiser's state are not finite; nothing
                is written, and no older checkpoint is deleted.
        """
        last = current_iter == -1
        self.refuse_not_finite(
            f"iteration {self.iteration if last else current_iter}: no checkpoint is written"
        )
        self.save_networks(current_iter)
        self.save_training_state(epoch, current_iter)
        if last and self.progress:
            self.progress.stop()
            self.progress = None
        self.clock.wait()

    def save_networks(self, label: int | str) -> None:
        """Write net_g_<label>.pth with the weights and, where there is one, their EMA."""
        if hasattr(self, "net_g_ema"):
            self.save_network(
                [self.net_g, self.net_g_ema], "net_g", label, param_key=["params", "params_ema"]
            )
        else:
            self.save_network(self.net_g, "net_g", label)

    @master_only
    def save_network(
        self,
        net: nn.Module | list[nn.Module],
        net_label: str,
        current_iter: int | str,
        param_key: str | list[str] = "params",
    ) -> None:
        """As the host's, but in one step, with the network's options beside its weights, and raising on failure."""
        nets, keys = (net, param_key) if isinstance(net, list) else ([net], [param_key])
        content: dict[str, Any] = {
            key: self._weights(net) for key, net in zip(keys, nets, strict=True)
        }
        label = f"network_{net_label.removeprefix('net_')}"
        if label in self.opt:
            content[label] = _plain(self.opt[label])
        content |= self.beside_weights()
        name = "latest" if current_iter == -1 else current_iter
        save_state(Path(self.opt["path"]["models"]) / f"{net_label}_{name}.pth", content)

    def save_training_state(self, epoch: int, current_iter: int) -> None:
        """Write <iter>.state, then delete what `train.keep` no longer wants.

        Every rank has to call it.
        """
        if current_iter == -1:
            return
        rng = gathered(rng_state())
        if get_dist_info()[0] != 0:
            return
        path = self._states() / f"{current_iter}.state"
        save_state(
            path, {"epoch": epoch, "iter": current_iter, **self._training_state(), "rng": rng}
        )
        if self.options.keep and is_whole(path):
            self._prune(current_iter)

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Put back everything that `save_training_state` wrote, then make up for a validation that a kill cut off.

        Raises:
            CheckpointError: the state belongs to another network or another set of optimisers.
        """
        self._load_networks(resume_state)
        super().resume_training(resume_state)
        self.iteration = int(resume_state["iter"])
        if "networks" not in resume_state:
            get_root_logger().warning(
                "A state of stock BasicSR: random generators and best metrics begin anew."
            )
            return
        self.scaler.load_state_dict(resume_state["scaler"] or self.scaler.state_dict())
        self.best_metric_results = resume_state["best"]
        if self.guard and resume_state["guard"]:
            self.guard.load_state_dict(resume_state["guard"])
        self.load_extra_state(resume_state["extra"])
        self._load_rng(resume_state["rng"])
        self._clear_halves()
        self._validate_missed()

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = "params"
    ) -> None:
        """As the host's, from any container that `checkpoint.load_weights` knows.

        Raises CheckpointError, which names both sides, for weights of another network.
        """
        net = self.get_bare_model(net)
        weights = fit_prefix(load_weights(load_path, param_key), net.state_dict())
        get_root_logger().info(f"Loading {type(net).__name__} from {load_path}, key {param_key}.")
        self._print_different_keys_loading(net, weights, strict)
        load_into(net, weights, load_path, strict)

    def _training_state(self) -> dict[str, Any]:
        return {
            "manual_seed": self.opt["manual_seed"],
            "networks": {label: self._weights(net) for label, net in self.networks().items()},
            "ema": self._weights(self.net_g_ema) if hasattr(self, "net_g_ema") else None,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "scaler": self.scaler.state_dict(),
            "best": self.best_metric_results,
            "guard": self.guard.state_dict() if self.guard else None,
            "extra": self.extra_state(),
        }

    def _weights(self, net: nn.Module) -> dict[str, torch.Tensor]:
        return {
            name: value.detach().cpu()
            for name, value in self.get_bare_model(net).state_dict().items()
        }

    def _load_networks(self, state: Mapping[str, Any]) -> None:
        ignored = self.opt["path"].get("ignore_resume_networks") or []
        try:
            for label, weights in state.get("networks", {}).items():
                if f"network_{label.removeprefix('net_')}" not in ignored:
                    self.get_bare_model(self.networks()[label]).load_state_dict(weights)
            if hasattr(self, "net_g_ema") and "networks" in state and "network_g" not in ignored:
                self.net_g_ema.load_state_dict(state["ema"] or self._weights(self.net_g))
        except (KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(
                f"{self.opt['path']['resume_state']}: a state of another network ({reason}). Give "
                f"this run another "
                "`name`, or go back to the network options with which it began."
            ) from error

    def _load_rng(self, states: list[dict[str, Any]]) -> None:
        rank, world_size = get_dist_info()
        if len(states) == world_size:
            set_rng_state(states[rank])
            return
        get_root_logger().warning(
            f"The state is one of {len(states)} processes and this run has {world_size}: it goes "
            f"on, but not bit-equal."
        )

    def _validate_missed(self) -> None:
        """The host saves before it validates, so a state never knows the validation of its own iteration.

        TensorBoard, which the host opens later, does not hear of it; the table, the log and the
        best metrics do.
        """
        options = self.opt.get("val")
        if not options or self.iteration % options["val_freq"] != 0:
            return
        for key, dataset in self.opt["datasets"].items():
            if key.split("_")[0] == "val":
                loader = build_dataloader(
                    build_dataset(dataset), dataset, num_gpu=self.opt["num_gpu"], seed=None
                )
                self.validation(loader, self.iteration, None, options.get("save_img", False))

    def _prune(self, current_iter: int) -> None:
        """Delete old checkpoints.

        States beyond this iteration are another run's trail; they are left alone.
        """
        states = sorted(int(p.stem) for p in self._states().glob("*.state") if p.stem.isdigit())
        for old in [iteration for iteration in states if iteration <= current_iter][
            : -self.options.keep
        ]:
            for weights in Path(self.opt["path"]["models"]).glob(f"*_{old}.pth"):
                weights.unlink()
            (self._states() / f"{old}.state").unlink()

    @master_only
    def _clear_halves(self) -> None:
        """Remove what saves that were killed have left under temporary names."""
        for folder in (self._states(), Path(self.opt["path"]["models"])):
            for half in folder.glob(".*.tmp"):
                half.unlink()

    def _states(self) -> Path:
        return Path(self.opt["path"]["training_states"])


def _plain(options: Any) -> Any:
    """Options as plain dicts and lists, whatever the YAML reader made of them."""
    if isinstance(options, Mapping):
        return {key: _plain(value) for key, value in options.items()}
    return [_plain(value) for value in options] if isinstance(options, list | tuple) else options
