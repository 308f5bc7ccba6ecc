"""BasicSR's order of samples for MMEngine, and an iterator that can be resumed."""

from typing import Any

from basicsr.data.data_sampler import EnlargedSampler
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import DataLoader, Dataset

from wxr_plugin.data.seeding import DrawSampler
from wxr_plugin.errors import OptionError
from wxr_plugin.mm.datasets import WxrDataset


@DATA_SAMPLERS.register_module()
class WxrSampler(DrawSampler):
    """Sampler with the order of `wxr train`: a function of seed and epoch, not of workers.

    Args:
        dataset: a WxrDataset for training.
        seed: `randomness.seed` of the run, which MMEngine passes.
        ratio: number of passes over the dataset in an epoch (`dataset_enlarge_ratio` of option
            files).

    The last, incomplete batch of an epoch has to be dropped: `drop_last=True` in the data loader.
    """

    def __init__(self, dataset: Dataset, seed: int | None = None, ratio: int = 1):
        if not isinstance(dataset, WxrDataset):
            raise OptionError(
                f"WxrSampler is for a WxrDataset, not {type(dataset).__name__}: use InfiniteSampler"
            )
        rank, world_size = get_dist_info()
        super().__init__(EnlargedSampler(dataset, world_size, rank, ratio))
        self.seed(sync_random_seed() if seed is None else seed)

    def seed(self, seed: int) -> None:
        """Start again, with the order and the samples of `seed`."""
        self.sampler.seed = seed
        self.sampler.dataset.seed(seed)
        self.set_epoch(0)


class Epochs:
    """Iterator over the batches of all epochs, without end, in place of MMEngine's.

    Args:
        loader: its sampler is a WxrSampler.
        done: number of batches that were trained before the run was resumed. MMEngine asks for each
            of them again; they are skipped, not loaded.
    """

    def __init__(self, loader: DataLoader, done: int):
        self.loader = loader
        self.left = done
        sampler = loader.sampler
        per_epoch = len(loader)
        if not per_epoch:
            raise OptionError(
                f"train_dataloader: {len(sampler)} samples a process fill no batch of "
                f"{loader.batch_size}, so there is nothing to train on; lower batch_size, or raise "
                "the sampler's ratio"
            )
        self.epoch = done // per_epoch
        # in samples: the sampler knows nothing of batches
        skip = done % per_epoch * loader.batch_size
        sampler.resume = {"epoch": self.epoch, "skip": skip}
        self._begin()

    def __next__(self) -> Any:
        if self.left:
            self.left -= 1
            return None
        try:
            return next(self.batches)
        except StopIteration:
            self.epoch += 1
            self._begin()
            return next(self.batches)

    def _begin(self) -> None:
        self.loader.sampler.set_epoch(self.epoch)
        self.batches = iter(self.loader)
