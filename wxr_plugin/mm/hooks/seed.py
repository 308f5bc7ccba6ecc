"""Hook that makes a run exactly resumable."""

from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner, set_random_seed

from wxr_plugin.data.seeding import mixed
from wxr_plugin.errors import OptionError
from wxr_plugin.mm.samplers import Epochs, WxrSampler


@HOOKS.register_module()
class WxrSeedHook(Hook):
    """Hook that makes a run a function of its seed, whether or not it is killed and resumed.

    MMEngine's checkpoints have no random generators. So each iteration begins with generators that
    are seeded by (`randomness.seed`, iteration, rank), and with WxrSampler the data resume where
    they stopped, without loading skipped batches. Needs an IterBasedTrainLoop.
    """

    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """Seed the sampler, and resume the data where the checkpoint was written."""
        loop = runner.train_loop
        if not isinstance(loop, IterBasedTrainLoop):
            raise OptionError(
                "WxrSeedHook counts iterations: set train_cfg = dict(type='IterBasedTrainLoop')"
            )
        sampler = loop.dataloader.sampler
        if isinstance(sampler, WxrSampler):
            # a resumed run has the seed of its checkpoint, not that of the config
            sampler.seed(runner.seed)
            loop.dataloader_iterator = Epochs(loop.dataloader, loop.iter)

    def after_train(self, runner: Runner) -> None:
        """End the processes of the loader."""
        # else Python waits for them when it collects the Runner
        if isinstance(runner.train_loop.dataloader_iterator, Epochs):
            runner.train_loop.dataloader_iterator = None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the generators of Python, numpy and torch."""
        # numpy takes seeds below 2**32
        set_random_seed(mixed(runner.seed, get_rank(), runner.iter) % 2**32)
