"""NaN guard of WxrModel for MMEngine's Runner."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from wxr_plugin.mm.updates import images_of, updates_of
from wxr_plugin.models.base.guard import NanGuard, NonFiniteError, all_finite, trained
from wxr_plugin.options.train import NanGuardOptions

KEY = "wxr_nan_guard"
"""Key of the counts in a checkpoint."""


@HOOKS.register_module()
class WxrNanGuardHook(Hook):
    """Hook that drops updates whose loss or gradient is not finite on any rank.

    It logs the paths of their images. Such an update changes neither weights, running statistics
    nor optimiser, nor, with WxrEMAHook, WxrLabelHook and WxrSemiSupervised, average and
    pseudo-labels. Under fp16 an infinite gradient of a finite loss only lowers the loss scale.

    Args:
        skip: drop the update and continue; when false, the first one ends the run.
        stop_after: number of dropped updates in a row that ends the run (NonFiniteError).
    """

    priority = "HIGH"

    def __init__(self, skip: bool = True, stop_after: int = 10):
        self.guard = NanGuard(NanGuardOptions(skip=skip, stop_after=stop_after))

    def before_train(self, runner: Runner) -> None:
        """Start to check updates."""
        updates_of(runner).guard = self.guard

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Store the paths of the batch's images, and the running statistics before it."""
        updates_of(runner).begin(runner.iter + 1, images_of(data_batch))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Log the count, and stop before a hook of lower priority saves bad weights.

        Raises:
            NonFiniteError: an update made weights or running statistics NaN or infinite.
        """
        # now, since CheckpointHook deletes an old checkpoint before it writes the new one
        if not all_finite(trained(runner.model)):
            raise NonFiniteError(
                f"iteration {runner.iter + 1}: NaN or infinity in weights after this update, so "
                "training stops and no checkpoint is written. Resume from an earlier one with a "
                "lower learning rate or with clip_grad"
            )
        runner.message_hub.update_scalar("train/dropped_updates", self.guard.skipped)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the counts to the checkpoint."""
        checkpoint[KEY] = self.guard.state_dict()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Restore the counts when a run is resumed."""
        if runner._resume and KEY in checkpoint:
            self.guard.load_state_dict(checkpoint[KEY])
