"""The base model: BasicSR's SRModel with what long runs on real machines need."""

import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger, imwrite
from basicsr.utils.dist_util import get_dist_info, master_only
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor, nn
from torch.utils.data import DataLoader

from wxr_plugin.archs.context import Context
from wxr_plugin.checkpoints.containers import fit_prefix, load_weights
from wxr_plugin.checkpoints.fitting import load_into
from wxr_plugin.errors import OptionError
from wxr_plugin.hub import fetched_file
from wxr_plugin.models.base import train_log
from wxr_plugin.models.base.checkpointer import Checkpointer, TrainingState, plain
from wxr_plugin.models.base.conditioning import Conditioning, WxrTopOptions
from wxr_plugin.models.base.guard import FiniteCheck, NanGuard
from wxr_plugin.models.base.optimisation import CosineAnnealingLR, UpdateStep, batch_images
from wxr_plugin.models.base.precision import Precision
from wxr_plugin.models.base.step_clock import StepClock
from wxr_plugin.models.base.val_metrics import validation_metrics
from wxr_plugin.models.base.val_records import ValidationRecords, WxrValOptions
from wxr_plugin.models.base.val_table import is_of
from wxr_plugin.models.base.validator import Validator, missed_loaders
from wxr_plugin.options.train import WxrTrainOptions
from wxr_plugin.utils.gpus import check_one_gpu, note_idle_gpus
from wxr_plugin.utils.progress import TrainingBar, track
from wxr_plugin.utils.rng import preserved_rng

CONSTANT = {"type": "MultiStepLR", "milestones": []}
"""Schedule of a constant learning rate."""


@MODEL_REGISTRY.register()
class WxrModel(SRModel):
    """Restoration from pairs, and the base of this package's other models.

    Without the options of `WxrTrainOptions` it computes what SRModel computes, except that warm-up
    ends at the full learning rate and that the EMA network takes over buffers.

    BasicSR's pipeline calls its methods; the work is done by collaborators, which this class
    connects. A subclass overrides `losses`, and if need be other methods of the first part
    (`before_step` to `make_validator`).

    Attributes:
        net_g, net_g_ema: the trained network and, with `ema_decay`, its average.
        data: the batch as the dataset returned it, tensors on the device.
        lq, gt: its degraded and clean images, (N, 3, H, W) in [0, 1].
        output: images that the network restored from `lq`.
        iteration: number of the last iteration that was trained.
        options: the `train` block; None in testing.
        precision, conditioning: how networks are computed, and the guide that steers net_g, if any.
        validator, records: validate, and keep the metrics.
        update_step, checkpointer, finite_check, scaler, guard: update and save; in training only.
    """

    TrainOptions = WxrTrainOptions
    ValOptions = WxrValOptions
    TopOptions = WxrTopOptions
    one_gpu_per_process = True
    """Whether several GPUs need a launcher: nn.DataParallel breaks bf16, compile and DA-CLIP."""
    SCHEDULERS = {"CosineAnnealingLR": CosineAnnealingLR, "cosine": CosineAnnealingLR}

    def __init__(self, opt: dict[str, Any]):
        self.options = self.TrainOptions.read(opt["train"]) if opt["is_train"] else None
        self.precision = Precision(self.options or WxrTrainOptions())
        choice = self.options.save_best if self.options else None
        save_best = partial(self.save_networks, "best")
        self.records = ValidationRecords(opt["path"], opt["is_train"], choice, save_best)
        self.iteration = 0
        self.validated: dict[str, int] = {}
        self.clock = StepClock()
        self.progress: TrainingBar | None = None
        super().__init__(opt)
        note_idle_gpus(opt)
        self.load_guide()
        self.validator = self.make_validator()

    # for subclasses

    def losses(self, current_iter: int) -> "OrderedDict[str, Tensor]":
        """Return the weighted losses of the batch, scalars keyed by name (`l_...`).

        Their sum is minimised. It also sets `output`.
        """
        self.output = self.predict(self.lq)
        losses = OrderedDict()
        if self.cri_pix:
            losses["l_pix"] = self.pixel_loss()
        if self.cri_perceptual:
            losses["l_percep"], losses["l_style"] = self.cri_perceptual(self.output, self.gt)
        return OrderedDict((name, loss) for name, loss in losses.items() if loss is not None)

    def pixel_loss(self) -> Tensor:
        """Return the loss of `pixel_opt`; losses with `takes_lq` get the degraded images too."""
        if getattr(self.cri_pix, "takes_lq", False):
            return self.cri_pix(self.output, self.gt, self.lq)
        return self.cri_pix(self.output, self.gt)

    def before_step(self, current_iter: int) -> None:
        """Prepare an update, before its first batch; also called if the last update was dropped."""

    def after_step(self, current_iter: int) -> None:
        """Follow an update of the weights and their EMA; not called for one that was dropped."""

    def networks(self) -> dict[str, nn.Module]:
        """Return each trained network, keyed by label; a subclass adds its own."""
        return {"net_g": self.net_g}

    def extra_state(self) -> dict[str, Any]:
        """Return a subclass's part of a training state, plain types and tensors, on rank 0."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `extra_state` returned."""

    def network_metadata(self) -> dict[str, Any]:
        """Return further entries of a .pth, in plain types, which restoring with it needs."""
        return {"guide": plain(self.opt["guide"])} if self.opt.get("guide") else {}

    def restore_tested(self, net: nn.Module) -> Tensor:
        """Return `lq` restored by `net`, for `test`."""
        return self.apply(net, self.lq)

    def write_image(self, result: np.ndarray, path: Path) -> None:
        """Write a restored image of validation, (H, W, 3) uint8 BGR."""
        imwrite(result, str(path))

    def make_validator(self) -> Validator:
        """Return the validator of this model."""
        return Validator(restore=self._restored, **self._validator_arguments())

    # for losses and tests

    def predict(self, lq: Tensor, net: nn.Module | None = None) -> Tensor:
        """Return `lq` restored by `net` (net_g when None) under `train.amp`, as float32."""
        with self.autocast():
            return self.apply(self.net_g if net is None else net, lq).float()

    def apply(self, net: nn.Module, lq: Tensor, **arguments: Any) -> Any:
        """Return the output of `net` for `lq` and the context that it takes, if any."""
        context = self.context(lq)
        return net(lq, **arguments) if context is None else net(lq, context, **arguments)

    def context(self, lq: Tensor) -> Context | None:
        """Return the guide's embeddings of images (N, 3, H, W) in [0, 1]; None without a guide."""
        if self.conditioning is None:
            return None
        return self.conditioning.context(lq, self.data if lq is self.lq else None)

    def autocast(self) -> torch.autocast:
        """Return the context of `train.amp`, in which networks are called."""
        return self.precision.autocast(self.device)

    @contextmanager
    def evaluating(self) -> Iterator[nn.Module]:
        """Yield the EMA network, or net_g without one, in evaluation mode and uncompiled.

        Gradients are off.
        """
        # not through DistributedDataParallel: its forward talks to the other ranks, whose shards
        # may be shorter
        net = self.average or self.get_bare_model(self.net_g)
        was_training = net.training
        net.eval()
        try:
            with torch.no_grad(), self.precision.uncompiled():
                yield net
        finally:
            net.train(was_training)

    @property
    def average(self) -> nn.Module | None:
        """The EMA of net_g, if the options ask for one."""
        return getattr(self, "net_g_ema", None)

    @property
    def guide(self) -> Any:
        """The guide that steers net_g, if any."""
        return self.conditioning.guide if self.conditioning else None

    @property
    def updates(self) -> int:
        """Number of updates that were due so far, dropped ones included."""
        return self.iteration // self.options.accumulate

    @property
    def metric_results(self) -> dict[str, float]:
        """Metrics of the last validation."""
        return self.records.results

    @property
    def best_metric_results(self) -> dict[str, dict[str, dict]]:
        """Best metrics: validation set -> metric -> {better, val, iter}."""
        return self.records.best

    # called by BasicSR: setting up

    def init_training_settings(self) -> None:
        """Set up losses, optimisers and schedules as SRModel does, then what updates and saves."""
        self._check_options()
        self.scaler = self.precision.make_scaler(self.device, self.opt["dist"])
        self.guard = NanGuard(self.options.nan_guard) if self.options.nan_guard else None
        super().init_training_settings()
        if self.average:
            self.precision.prepare(self.average)
        state = TrainingState(
            networks=self.networks,
            average=self.average,
            optimizers=self.optimizers,
            schedulers=self.schedulers,
            scaler=self.scaler,
            guard=self.guard,
            best=self.records.best,
        )
        self.finite_check = FiniteCheck(state.tensors, self.device, self.opt["path"])
        self.update_step = UpdateStep(state, self.options, self.device, self.finite_check)
        self.checkpointer = Checkpointer(self.opt, state, self.options.keep)
        if self.opt["logger"].get("progress") and get_dist_info()[0] == 0:
            self.progress = TrainingBar.start(
                int(self.opt["train"]["total_iter"]), get_root_logger()
            )

    def model_to_device(self, net: nn.Module) -> nn.Module:
        """Prepare `net` as the options say, then move and wrap it as SRModel does.

        Raises OptionError for several GPUs in one process: SRModel would use nn.DataParallel, which
        loses bf16 autocast, compiled networks and scalar outputs.
        """
        check_one_gpu(self.opt["num_gpu"], self.opt["dist"])
        self.precision.prepare(net)
        return super().model_to_device(net)

    def load_guide(self) -> None:
        """Load the guide that net_g needs; raise OptionError if it is missing or does not fit."""
        net = self.get_bare_model(self.net_g)
        self.conditioning = Conditioning.load(net, self.opt, self.device)

    def get_optimizer(
        self, optim_type: str, params: Iterable, lr: float, **kwargs: Any
    ) -> torch.optim.Optimizer:
        """Return the optimiser as SRModel does; AdamW is fused on CUDA by default."""
        if optim_type == "AdamW" and self.device.type == "cuda":
            kwargs.setdefault("fused", True)
        return super().get_optimizer(optim_type, params, lr, **kwargs)

    def setup_schedulers(self) -> None:
        """Set up SRModel's schedules, CosineAnnealingLR (T_max: total_iter), or a constant rate."""
        train = self.opt["train"]
        train["scheduler"] = options = dict(train.get("scheduler") or CONSTANT)
        if options["type"] not in self.SCHEDULERS:
            return super().setup_schedulers()
        schedule = self.SCHEDULERS[options.pop("type")]
        options = {"T_max": int(train["total_iter"]), **options}
        self.schedulers += [schedule(optimizer, **options) for optimizer in self.optimizers]

    # called by BasicSR: training

    def update_learning_rate(self, current_iter: int, warmup_iter: int = -1) -> None:
        """Set initial rate * current_iter / warmup_iter in warm-up, then the schedule's rate."""
        # Most schedules derive a rate from the one before. SRModel lets them start from the rate of
        # the warm-up, so that a run never reaches its full rate; here from their own last rate.
        self._set_lr([scheduler.get_last_lr() for scheduler in self.schedulers])
        with warnings.catch_warnings():
            # with `accumulate` a schedule moves before the first update
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
            super().update_learning_rate(current_iter, warmup_iter)

    def feed_data(self, data: Mapping[str, Any]) -> None:
        """Take a batch: its tensors are moved to the device, `lq` and `gt` become attributes."""
        self.clock.batch()
        if self.conditioning:
            self.conditioning.forget()
        move = partial(self.precision.move, device=self.device)
        self.data = {key: move(value) for key, value in data.items()}
        self.lq = self.data["lq"]
        if "gt" in self.data:
            self.gt = self.data["gt"]
        elif hasattr(self, "gt"):
            # of the last batch; a set without ground truth must not be compared with it
            del self.gt

    def optimize_parameters(self, current_iter: int) -> None:
        """Train one iteration; every `train.accumulate`-th one updates the weights."""
        self.iteration = current_iter
        step = self.update_step
        if step.begins(current_iter):
            step.open()
            self.before_step(current_iter)
        compute = partial(self.losses, current_iter)
        losses = step.add(current_iter, compute, batch_images(self.data))
        if step.is_due(current_iter) and step.apply(current_iter):
            if self.ema_decay > 0:
                self.model_ema(decay=self.ema_decay)
            self.after_step(current_iter)
        self.log_dict = self.reduce_loss_dict(losses)
        self.clock.done()
        self._show_progress(current_iter)

    def model_ema(self, decay: float = 0.999) -> None:
        """Average the parameters as SRModel does, and copy the buffers."""
        super().model_ema(decay)
        # buffers are constants, counters or running averages already
        buffers = self.get_bare_model(self.net_g).buffers()
        for average, buffer in zip(self.net_g_ema.buffers(), buffers):
            average.copy_(buffer)

    def get_current_log(self) -> dict[str, float]:
        """Return the figures of a log line, and add them to the training's log file."""
        figures = self.log_figures()
        folder = self.opt["path"].get("experiments_root")
        if folder:
            train_log.append(Path(folder), self.iteration, figures)
        return figures

    def log_figures(self) -> dict[str, float]:
        """Return losses, seconds of computing per iteration and the number of dropped updates."""
        _, compute_time = self.clock.read()
        log = {**self.log_dict, "compute_time": compute_time}
        if self.guard:
            log["dropped_updates"] = self.guard.skipped
        return log

    # called by BasicSR: saving and resuming

    def save(self, epoch: int, current_iter: int) -> None:
        """Save the networks, then the training state; at the end of training (-1) networks alone.

        Raises:
            NonFiniteError: weights, their average or the optimiser's state are not finite; nothing
                is written, and no older checkpoint is deleted.
        """
        is_last = current_iter == -1
        iteration = self.iteration if is_last else current_iter
        self.finite_check.require(f"iteration {iteration}: no checkpoint is written")
        self.save_networks(current_iter)
        self.save_training_state(epoch, current_iter)
        if is_last and self.progress:
            self.progress.stop()
            self.progress = None
        self.clock.wait()

    def save_networks(self, label: int | str) -> None:
        """Write net_g_<label>.pth with the weights and, if there is one, their EMA."""
        if self.average:
            keys = ["params", "params_ema"]
            self.save_network([self.net_g, self.average], "net_g", label, param_key=keys)
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
        """Write weights as SRModel does, but atomically, with options, and raising on failure."""
        nets = net if isinstance(net, list) else [net]
        keys = param_key if isinstance(param_key, list) else [param_key]
        by_key = dict(zip(keys, nets, strict=True))
        self.checkpointer.save_network(by_key, net_label, current_iter, self.network_metadata())

    def save_training_state(self, epoch: int, current_iter: int) -> None:
        """Write <current_iter>.state, except at the end (-1). Every rank has to call it."""
        if current_iter != -1:
            self.checkpointer.save_state(epoch, current_iter, self.extra_state)

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Restore everything that `save_training_state` wrote; validate if a kill prevented that.

        Raises:
            CheckpointError: the state belongs to another network or another set of optimisers.
        """
        self.checkpointer.load_networks(resume_state)
        super().resume_training(resume_state)
        self.iteration = int(resume_state["iter"])
        if "networks" not in resume_state:
            get_root_logger().warning(
                "A state of stock BasicSR: random generators and best metrics start again."
            )
            return
        self.checkpointer.state.load_progress(resume_state)
        self.load_extra_state(resume_state["extra"])
        # last, since what is restored above may draw random numbers
        self.checkpointer.load_rng(resume_state["rng"])
        self.checkpointer.remove_partial_files()
        # SRModel saves before it validates. TensorBoard, which is opened later, misses this one.
        save_img = (self.opt.get("val") or {}).get("save_img", False)
        for loader in missed_loaders(self.opt, self.iteration):
            self.validation(loader, self.iteration, None, save_img)

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = "params"
    ) -> None:
        """Load weights as SRModel does, from any container that `load_weights` reads.

        `load_path` may be a reference to the hub (hf://OWNER/NAME).

        Raises CheckpointError, which names both sides, for weights of another network.
        """
        net = self.get_bare_model(net)
        load_path = str(fetched_file(load_path))
        weights = fit_prefix(load_weights(load_path, param_key), net.state_dict())
        get_root_logger().info(f"Loading {type(net).__name__} from {load_path}, key {param_key}.")
        self._print_different_keys_loading(net, weights, strict)
        load_into(net, weights, load_path, strict)

    # called by BasicSR: validation

    def validation(
        self,
        dataloader: DataLoader,
        current_iter: int | str,
        tb_logger: Any,
        save_img: bool = False,
    ) -> None:
        """Validate one set, unless it has been validated at this iteration.

        Every rank has to call it. Random generators keep their state, so the number of validations
        does not change the training.
        """
        name = dataloader.dataset.opt["name"]
        if self.is_train:
            # after training BasicSR validates again, with a number that is one too high
            current_iter = min(current_iter, self.iteration)
            if self.validated.get(name) == current_iter:
                return
            self.validated[name] = current_iter
        with preserved_rng():
            self.nondist_validation(dataloader, current_iter, tb_logger, save_img)
        self.clock.wait()

    def nondist_validation(
        self, dataloader: DataLoader, current_iter: int | str, tb_logger: Any, save_img: bool
    ) -> None:
        """Validate one set unconditionally, on one rank or several."""
        self.validator.run(dataloader, current_iter, tb_logger, save_img)

    dist_validation = nondist_validation

    def test(self) -> None:
        """Restore `lq` into `output` (float32) with the EMA network, or with net_g without one."""
        with self.evaluating() as net:
            self.output = self.restore_tested(net).float()

    # private

    def _validator_arguments(self) -> dict[str, Any]:
        """Return the arguments of Validator except `restore`."""
        networks = [self.get_bare_model(self.net_g)]
        if self.average:
            networks.append(self.average)
        return {
            "opt": self.opt,
            "records": self.records,
            "write_image": self.write_image,
            "track": self._track,
            "networks": networks,
        }

    def _restored(self, batch: Mapping[str, Any]) -> Mapping[str, Tensor]:
        self.feed_data(batch)
        self.test()
        return self.get_current_visuals()

    def _track(self, indices: Sequence[int], description: str) -> Iterator[int]:
        if self.progress:
            return self.progress.track(indices, len(indices), description)
        shows_bar = get_dist_info()[0] == 0 and (self.opt.get("val") or {}).get("pbar", False)
        return track(indices, description) if shows_bar else iter(indices)

    def _show_progress(self, current_iter: int) -> None:
        if self.progress:
            loss = sum(value for name, value in self.log_dict.items() if name.startswith("l_"))
            rate = self.get_current_learning_rate()[0]
            data, compute = (1e3 * seconds for seconds in self.clock.last)
            note = f"loss {loss:.4g}  lr {rate:.2e}  data {data:.0f} ms  compute {compute:.0f} ms"
            self.progress.update(current_iter, note)

    def _check_options(self) -> None:
        """Raise OptionError for values that do not fit those of another block."""
        frequency = int(self.opt["logger"]["save_checkpoint_freq"])
        accumulate = self.options.accumulate
        if frequency % accumulate:
            raise OptionError(
                f"logger.save_checkpoint_freq is {frequency} and train.accumulate {accumulate}: a "
                "checkpoint between two updates cannot be resumed exactly. Take a multiple of "
                f"{accumulate} (a debug run saves every 8)."
            )
        sets = validation_metrics(self.opt)
        metrics = {name: list(blocks) for name, blocks in sets.items()}
        choice = self.options.save_best
        if choice is None:
            return
        if not any(is_of(choice.metric, name) for name in metrics.get(choice.dataset, ())):
            raise OptionError(
                f"train.save_best: no metric {choice.metric!r} of a validation set "
                f"{choice.dataset!r}. Known: {metrics}."
            )
