"""The teacher and the label store of a WxrSemiSupervised training."""

from pathlib import Path
from typing import Any

from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from wxr_plugin.errors import OptionError
from wxr_plugin.mm.semi_supervised import WxrSemiSupervised
from wxr_plugin.mm.updates import updates_of

KEY = "wxr_labels"


@HOOKS.register_module()
class WxrLabelHook(Hook):
    """Moves the teacher and stores new pseudo-labels, after each update of the weights or not at all.

    A checkpoint carries their state: a resumed run has those of its checkpoint, exactly, for as
    many checkpoints as the CheckpointHook keeps (`max_keep_ckpts`; three where it keeps all). The
    store lies in WORK_DIR/labels.lmdb, or where `wresvlm.labels` of the model says.
    """

    priority = "ABOVE_NORMAL"

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None
        self.saved: int | None = None

    def before_train(self, runner: Runner) -> None:
        """Load rater and guides, and open the store as it was at the checkpoint."""
        model = _model(runner)
        self.keeper = next(
            (hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None
        )
        if self.keeper and self.keeper.by_epoch:
            raise OptionError(
                "WxrLabelHook counts iterations: set by_epoch=False for the CheckpointHook"
            )
        if any(isinstance(hook, EMAHook) for hook in runner.hooks):
            raise OptionError(
                "WxrSemiSupervised has its own average, the teacher: take the EMAHook out"
            )
        updates_of(runner)
        imports = (runner.cfg.get("custom_imports") or {}).get("imports") or ()
        plugins = [name for name in imports if not name.startswith("wxr_plugin.")]
        model.begin(Path(runner.work_dir), self.state, runner.iter, plugins)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Drop what no kept checkpoint needs, once one is written."""
        self._commit(runner)
        _model(runner).iteration = runner.iter + 1

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """An update that counted teaches the teacher and the store; one that was dropped leaves no trace."""
        model, updates = _model(runner), updates_of(runner)
        if updates.counted():
            model.average(model.iteration // runner.optim_wrapper._accumulative_counts)
            model.unlabelled.write(model.iteration)
        elif updates.wrapper.should_update():
            model.unlabelled.discard()
        for name, value in model.unlabelled.log().items():
            runner.message_hub.update_scalar(f"train/{name}", value)
        self.saved = model.iteration if self.keeper and _saves(self.keeper, runner) else None

    def after_train(self, runner: Runner) -> None:
        """The rater is no longer needed."""
        self._commit(runner, last=True)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep where the pseudo-labels are, and what was counted."""
        checkpoint[KEY] = _model(runner).unlabelled.state()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember the state of a run that is resumed."""
        self.state = checkpoint.get(KEY) if runner._resume else None

    def _commit(self, runner: Runner, last: bool = False) -> None:
        if self.saved is not None or last:
            iteration = self.saved if self.saved is not None else _model(runner).iteration
            keep = self.keeper.max_keep_ckpts if self.keeper else -1
            _model(runner).unlabelled.on_checkpoint(iteration, keep if keep > 0 else None, last)
        self.saved = None


def _model(runner: Runner) -> WxrSemiSupervised:
    model = getattr(runner.model, "module", runner.model)
    if not isinstance(model, WxrSemiSupervised):
        raise OptionError(
            f"WxrLabelHook is for a WxrSemiSupervised model, not for {type(model).__name__}: take "
            f"it out"
        )
    return model


def _saves(keeper: CheckpointHook, runner: Runner) -> bool:
    """Whether `keeper`, which comes later, writes a checkpoint in this iteration."""
    due = keeper.every_n_train_iters(runner, keeper.interval, keeper.save_begin)
    return due or (keeper.save_last and keeper.is_last_train_iter(runner))
