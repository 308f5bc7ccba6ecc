"""The base model: BasicSR's SRModel with what long runs on real machines need."""

import warnings
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import get_dist_info
from basicsr.utils.registry import MODEL_REGISTRY
from torch import nn

from wxr_plugin.errors import OptionError
from wxr_plugin.models.base.conditioned import Conditioned
from wxr_plugin.models.base.finite import Finite
from wxr_plugin.models.base.guard import NanGuard
from wxr_plugin.models.base.precision import loss_scaler, to_channels_last
from wxr_plugin.models.base.resuming import Resuming
from wxr_plugin.models.base.schedules import CosineAnnealingLR
from wxr_plugin.models.base.step_clock import StepClock
from wxr_plugin.models.base.updating import Updating
from wxr_plugin.models.base.val_input import InputMetrics
from wxr_plugin.models.base.val_metrics import validation_metrics
from wxr_plugin.models.base.val_pictures import WxrValOptions
from wxr_plugin.models.base.val_table import is_of
from wxr_plugin.models.base.validating import Validating
from wxr_plugin.options.train import WxrTrainOptions
from wxr_plugin.utils.gpus import check_one_gpu, note_idle_gpus
from wxr_plugin.utils.progress import TrainingBar

AMP = {None: None, "bf16": torch.bfloat16, "fp16": torch.float16}
CONSTANT = {"type": "MultiStepLR", "milestones": []}


@MODEL_REGISTRY.register()
class WxrModel(Updating, Finite, Resuming, Validating, Conditioned, SRModel):
    """Restoration from pairs, and the base of this package's other models.

    With no option of `WxrTrainOptions` set it computes what SRModel computes, except that warm-up
    ends at the full learning rate and that the EMA network takes over buffers.

    A subclass overrides `losses`, and if need be `after_step`, `extra_state`, `load_extra_state`
    and `networks`.

    Attributes:
        net_g, net_g_ema: the trained network and, with `ema_decay`, its average.
        data: the batch as the dataset gave it, tensors on the device.
        lq, gt: its degraded and clean images, (N, 3, H, W) in [0, 1].
        output: what the network made of `lq`.
        iteration: the last iteration that was trained.
    """

    TrainOptions = WxrTrainOptions
    ValOptions = WxrValOptions
    one_gpu_per_process = True
    """Whether several GPUs need a launcher: nn.DataParallel does not do for bf16, compile and DA-CLIP."""
    SCHEDULERS = {"CosineAnnealingLR": CosineAnnealingLR, "cosine": CosineAnnealingLR}

    def __init__(self, opt: dict[str, Any]):
        self.options = self.TrainOptions.read(opt["train"]) if opt["is_train"] else None
        self.amp_dtype = AMP[self.options.amp] if self.options else None
        self.iteration = 0
        self.validated: dict[str, int] = {}
        self.told: set[str] = set()
        self.inputs = InputMetrics()
        self.clock = StepClock()
        self.progress: TrainingBar | None = None
        super().__init__(opt)
        note_idle_gpus(opt)
        self.load_guide()

    def losses(self, current_iter: int) -> "OrderedDict[str, torch.Tensor]":
        """Weighted losses of the batch, as scalars by name (`l_...`); their sum is minimised.

        Sets `self.output`.
        """
        self.output = self.predict(self.lq)
        losses = OrderedDict()
        if self.cri_pix:
            losses["l_pix"] = self.cri_pix(self.output, self.gt)
        if self.cri_perceptual:
            losses["l_percep"], losses["l_style"] = self.cri_perceptual(self.output, self.gt)
        return OrderedDict((name, loss) for name, loss in losses.items() if loss is not None)

    def after_step(self, current_iter: int) -> None:
        """Called after each update of the weights and of their EMA; never after one that was dropped."""

    def predict(self, lq: torch.Tensor, net: nn.Module | None = None) -> torch.Tensor:
        """`net` (net_g when None) on `lq`, with its context, under `train.amp`; the result is float32."""
        with torch.autocast(
            self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None
        ):
            return self.apply(self.net_g if net is None else net, lq).float()

    # what follows overrides the host

    def init_training_settings(self) -> None:
        """The host's, and this model's own."""
        self._check_options()
        self.scaler = loss_scaler(self.device, self.options.amp == "fp16", self.opt["dist"])
        self.guard = NanGuard(self.options.nan_guard) if self.options.nan_guard else None
        self.best_metric_results: dict[str, dict] = {}
        super().init_training_settings()
        if hasattr(self, "net_g_ema"):
            self._arrange(self.net_g_ema)
        if self.opt["logger"].get("progress") and get_dist_info()[0] == 0:
            self.progress = TrainingBar.start(
                int(self.opt["train"]["total_iter"]), get_root_logger()
            )

    def model_to_device(self, net: nn.Module) -> nn.Module:
        """Prepare `net` as the options say, then wrap it as the host does.

        Raises OptionError for several GPUs in one process: the host would take nn.DataParallel,
        which loses bf16 autocast, compiled networks and scalar outputs.
        """
        check_one_gpu(self.opt["num_gpu"], self.opt["dist"])
        if self.is_train:
            self._arrange(net)
        return super().model_to_device(net)

    def _arrange(self, net: nn.Module) -> None:
        """Apply `train.channels_last` and `train.compile` to `net` in place, so that no weight changes its name."""
        if self.options.channels_last:
            to_channels_last(net)
        if self.options.compile:
            net.compile(**(self.options.compile if isinstance(self.options.compile, dict) else {}))

    def get_optimizer(
        self, optim_type: str, params: Iterable, lr: float, **kwargs: Any
    ) -> torch.optim.Optimizer:
        """The host's; AdamW is fused on CUDA unless the options say otherwise."""
        if optim_type == "AdamW" and self.device.type == "cuda":
            kwargs.setdefault("fused", True)
        return super().get_optimizer(optim_type, params, lr, **kwargs)

    def setup_schedulers(self) -> None:
        """The host's schedules, and CosineAnnealingLR (T_max: total_iter, eta_min: 0).

        A constant rate without.
        """
        options = self.opt["train"]["scheduler"] = dict(
            self.opt["train"].get("scheduler") or CONSTANT
        )
        if options["type"] not in self.SCHEDULERS:
            return super().setup_schedulers()
        schedule = self.SCHEDULERS[options.pop("type")]
        options = {"T_max": int(self.opt["train"]["total_iter"]), **options}
        self.schedulers += [schedule(optimizer, **options) for optimizer in self.optimizers]

    def update_learning_rate(self, current_iter: int, warmup_iter: int = -1) -> None:
        """The host's: initial rate * iteration / warmup_iter below warmup_iter, then what the schedule says.

        Most schedules derive a rate from the one before. The host lets them start from the
        warm-up's, so a run never reaches its full rate; here each schedule goes on from its own
        last rate.
        """
        self._set_lr([scheduler.get_last_lr() for scheduler in self.schedulers])
        with (
            warnings.catch_warnings()
        ):  # torch warns of a schedule that moves before the first update (accumulate)
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
            super().update_learning_rate(current_iter, warmup_iter)

    def feed_data(self, data: Mapping[str, Any]) -> None:
        """Take a batch: its tensors go to the device, and `lq` and `gt` become attributes."""
        self.clock.batch()
        self.forget_context()
        self.data = {key: self._on_device(value) for key, value in data.items()}
        self.lq = self.data["lq"]
        if "gt" in self.data:
            self.gt = self.data["gt"]
        elif hasattr(self, "gt"):
            del self.gt

    def get_current_log(self) -> dict[str, float]:
        """Losses, seconds of computing an iteration, and how many updates the guard dropped."""
        _, compute = self.clock.read()
        dropped = {"dropped_updates": self.guard.skipped} if self.guard else {}
        return {**self.log_dict, "compute_time": compute, **dropped}

    def _on_device(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        last = self.is_train and self.options.channels_last and value.dim() == 4
        layout = torch.channels_last if last else torch.preserve_format
        return value.to(self.device, non_blocking=True, memory_format=layout)

    def _show_progress(self, current_iter: int) -> None:
        if self.progress:
            loss = sum(value for name, value in self.log_dict.items() if name.startswith("l_"))
            rate = self.get_current_learning_rate()[0]
            data, compute = (1e3 * seconds for seconds in self.clock.last)
            note = f"loss {loss:.4g}  lr {rate:.2e}  data {data:.0f} ms  compute {compute:.0f} ms"
            self.progress.update(current_iter, note)

    def _check_options(self) -> None:
        """What only all blocks together can tell."""
        frequency, every = int(self.opt["logger"]["save_checkpoint_freq"]), self.options.accumulate
        if frequency % every:
            raise OptionError(
                f"logger.save_checkpoint_freq is {frequency} and train.accumulate {every}: a "
                f"checkpoint between two "
                f"updates cannot be resumed exactly. Take a multiple of {every} (a debug run saves "
                f"every 8)."
            )
        choice = self.options.save_best
        known = {name: list(metrics) for name, metrics in validation_metrics(self.opt).items()}
        if choice and not any(is_of(choice.metric, name) for name in known.get(choice.dataset, ())):
            raise OptionError(
                f"train.save_best: no metric {choice.metric!r} of a validation set "
                f"{choice.dataset!r}. Known: {known}."
            )
