"""The NaN guard of WxrModel under MMEngine's Runner."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from wxr_plugin.mm.updates import images_of, updates_of
from wxr_plugin.models.base.finite import trained
from wxr_plugin.models.base.guard import NanGuard, NonFiniteError, all_finite
from wxr_plugin.options.train import NanGuardOptions

KEY = "wxr_nan_guard"


@HOOKS.register_module()
class WxrNanGuardHook(Hook):
    """Drops an update whose loss or gradient is not finite on any rank, names its images, and counts.

    Such an update changes neither weights, running statistics nor optimiser, nor, with WxrEMAHook,
    WxrLabelHook and WxrSemiSupervised, average and pseudo-labels. Under fp16 an infinite gradient
    of a finite loss only lowers the loss scale.

    Args:
        skip: drop and go on; when false, the first one ends the run.
        stop_after: so many in a row end it (NonFiniteError).
    """

    priority = "HIGH"

    def __init__(self, skip: bool = True, stop_after: int = 10):
        self.guard = NanGuard(NanGuardOptions(skip=skip, stop_after=stop_after))

    def before_train(self, runner: Runner) -> None:
        """Look at all updates from now on."""
        updates_of(runner).guard = self.guard

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Remember what the batch is made of, and the running statistics before it."""
        updates_of(runner).begin(runner.iter + 1, images_of(data_batch))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Log the count, and stop before a hook of lower priority saves weights that are not finite.

        CheckpointHook deletes an old checkpoint before it writes the new one, so this cannot wait
        until then.

        Raises:
            NonFiniteError: an update made weights or running statistics NaN or infinite.
        """
        if not all_finite(trained(runner.model)):
            raise NonFiniteError(
                f"iteration {runner.iter + 1}: NaN or infinity in weights after this update, so "
                f"training stops and no "
                "checkpoint is written. Go on from an earlier one with a lower learning rate or "
                "with clip_grad"
            )
        runner.message_hub.update_scalar("train/dropped_updates", self.guard.skipped)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the counts."""
        checkpoint[KEY] = self.guard.state_dict()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the counts back when a run is resumed."""
        if runner._resume and KEY in checkpoint:
            self.guard.load_state_dict(checkpoint[KEY])
