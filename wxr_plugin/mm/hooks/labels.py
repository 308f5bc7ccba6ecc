"""Teacher and label store of a WxrSemiSupervised training."""

from pathlib import Path
from typing import Any

from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from wxr_plugin.errors import OptionError
from wxr_plugin.mm.semi_supervised import WxrSemiSupervised
from wxr_plugin.mm.updates import updates_of

KEY = "wxr_labels"
"""Key of the state in a checkpoint."""


@HOOKS.register_module()
class WxrLabelHook(Hook):
    """Hook that moves the teacher and stores new pseudo-labels after each update of the weights.

    A checkpoint has their state: a resumed run gets exactly those of its checkpoint, for as many
    checkpoints as the CheckpointHook keeps (`max_keep_ckpts`; three where it keeps all). The store
    is WORK_DIR/labels.lmdb, unless `wresvlm.labels` of the model sets it.
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
        """Drop pseudo-labels that no remaining checkpoint needs, once one has been written."""
        self._commit(runner)
        _model(runner).iteration = runner.iter + 1

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Move teacher and store after an update; discard the ratings of one that was dropped."""
        model, updates = _model(runner), updates_of(runner)
        if updates.counted():
            # counted as BasicSR counts them: the updates that were due so far
            model.average(model.iteration // runner.optim_wrapper._accumulative_counts)
            model.unlabelled.write(model.iteration)
        elif updates.wrapper.should_update():
            model.unlabelled.discard()
        for name, value in model.unlabelled.log().items():
            runner.message_hub.update_scalar(f"train/{name}", value)
        # CheckpointHook comes later, so the labels are committed in the next iteration
        self.saved = model.iteration if self.keeper and _saves(self.keeper, runner) else None

    def after_train(self, runner: Runner) -> None:
        """Commit the labels and end the rater."""
        self._commit(runner, last=True)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add to the checkpoint where the pseudo-labels are, and the counts of ratings."""
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
            "it out"
        )
    return model


def _saves(keeper: CheckpointHook, runner: Runner) -> bool:
    """Return whether `keeper`, which comes later, writes a checkpoint in this iteration."""
    due = keeper.every_n_train_iters(runner, keeper.interval, keeper.save_begin)
    return due or (keeper.save_last and keeper.is_last_train_iter(runner))
