"""Samples that depend on the seed and their place in the training alone, whichever worker loads them.

Stock BasicSR seeds each worker alike at every epoch, so that crops and flips repeat (the trap of
pytorch#5059), and a resumed run draws others than an uninterrupted one. Here the sampler numbers
every sample of the whole training, over all ranks and epochs (its *draw*), and the random state is
set from (manual_seed, draw) while that sample is loaded.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler, get_worker_info


@contextmanager
def random_state(*seeds: int) -> Iterator[np.random.Generator]:
    """Within the block, python's, numpy's and torch's CPU generators are seeded by `seeds` (each >= 0).

    Yields a numpy generator with a stream of its own. After the block the three are as they were
    before; CUDA's generators are not touched.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence(seeds).generate_state(8)
    random.seed(words[:2].tobytes())
    np.random.seed(words[2:4])
    torch.default_generator.manual_seed(int.from_bytes(words[4:6].tobytes(), "little"))
    try:
        yield np.random.default_rng(words[6:])
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


class SeededDataset(Dataset):
    """A dataset whose item `draw * len(dataset) + index` is sample `index`, loaded under the random state of `draw`.

    A dataset that defines `draw(index, rng)` is asked through that instead of `__getitem__`. Every
    other attribute (`opt`, …) is the wrapped dataset's.
    """

    def __init__(self, dataset: Dataset, seed: int):
        self.dataset = dataset
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: int) -> Any:
        draw, index = divmod(int(number), len(self.dataset))
        with random_state(self.seed, draw) as rng:
            if hasattr(self.dataset, "draw"):
                return self.dataset.draw(index, rng)
            return self.dataset[index]

    def __getattr__(self, name: str) -> Any:
        if (
            name.startswith("__") or "dataset" not in self.__dict__
        ):  # not yet unpickled; never a foreign protocol
            raise AttributeError(name)
        return getattr(self.dataset, name)


class DrawSampler(Sampler):
    """The order of an EnlargedSampler as numbers `draw * len(dataset) + index` for a `SeededDataset`.

    `draw` counts the samples of all ranks since the first epoch. `resume` is {'epoch': e, 'skip':
    n}: epoch `e` starts after its first `n` samples of this rank, so that a resumed training goes
    on where it stopped.
    """

    def __init__(self, sampler: Sampler, resume: dict | None = None):
        self.sampler = sampler
        self.resume = resume or {"epoch": -1, "skip": 0}

    def __iter__(self) -> Iterator[int]:
        inner = self.sampler
        first = (inner.epoch * len(inner)) * inner.num_replicas + inner.rank
        size = len(inner.dataset)
        numbers = [
            (first + i * inner.num_replicas) * size + int(index) for i, index in enumerate(inner)
        ]
        return iter(
            numbers[self.resume["skip"] :] if inner.epoch == self.resume["epoch"] else numbers
        )

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.sampler.set_epoch(epoch)


def mixed(*seeds: int) -> int:
    """One seed in [0, 2^63) from several; another for every other tuple but for chance."""
    return int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> np.uint64(1))


def seed_worker(worker_id: int, num_workers: int, rank: int, seed: int) -> None:
    """Worker initialiser with the arguments of BasicSR's: seeds python and numpy anew at every epoch.

    A DataLoader gives its workers a torch seed that changes with each epoch; the other two take it
    over here.
    """
    worker = get_worker_info()
    base = seed + num_workers * rank + worker_id if worker is None else worker.seed
    words = np.random.SeedSequence([base, rank]).generate_state(4)
    random.seed(words[:2].tobytes())
    np.random.seed(words[2:])
