"""A run that can be resumed exactly."""

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
    """Makes a run a function of its seed: killed and resumed, it ends as if it had been left alone.

    MMEngine's checkpoints hold no random generators. So each iteration begins with generators that
    are seeded by (`randomness.seed`, iteration, rank), and with WxrSampler the data go on where
    they stopped, without being loaded once more. Needs an IterBasedTrainLoop.
    """

    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """Take over the seed, which a resumed run has from its checkpoint, and the place in the data."""
        loop = runner.train_loop
        if not isinstance(loop, IterBasedTrainLoop):
            raise OptionError(
                "WxrSeedHook counts iterations: set train_cfg = dict(type='IterBasedTrainLoop', …)"
            )
        sampler = loop.dataloader.sampler
        if isinstance(sampler, WxrSampler):
            sampler.seed(runner.seed)
            loop.dataloader_iterator = Epochs(loop.dataloader, loop.iter)

    def after_train(self, runner: Runner) -> None:
        """End the loader's processes, which would otherwise be waited for when the Runner is collected."""
        if isinstance(runner.train_loop.dataloader_iterator, Epochs):
            runner.train_loop.dataloader_iterator = None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed python's, numpy's and torch's generators."""
        set_random_seed(mixed(runner.seed, get_rank(), runner.iter) % 2**32)
