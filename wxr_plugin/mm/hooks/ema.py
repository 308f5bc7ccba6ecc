"""MMEngine's EMA, counted in updates of the weights."""

from typing import Any

from mmengine.hooks import EMAHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from wxr_plugin.mm.updates import updates_of


@HOOKS.register_module()
class WxrEMAHook(EMAHook):
    """EMAHook that averages after each update of the weights instead of after each batch.

    So the average moves neither between the batches of one update (`accumulative_counts`) nor after
    an update that the NaN guard dropped. All arguments are EMAHook's; `momentum` is 1 minus
    BasicSR's `ema_decay`. As in EMAHook, the first average is the network after its first update,
    whereas BasicSR's is the network before it.
    """

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Average, if the weights have changed in this iteration."""
        if updates_of(runner).counted():
            super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def before_train(self, runner: Runner) -> None:
        """Set up the average as EMAHook does, and start to observe updates."""
        super().before_train(runner)
        # wraps the optimiser's methods, so it has to happen before the first iteration
        updates_of(runner)
