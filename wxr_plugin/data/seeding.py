"""Samples that depend only on the seed and their place in the training, not on the worker.

Stock BasicSR seeds each worker alike at every epoch, so that crops and flips repeat (the trap of
pytorch#5059), and a resumed run draws different ones from an uninterrupted run. Here the sampler
numbers every sample of the whole training, over all ranks and epochs (its *draw*), and the random
state is set from (manual_seed, draw) while that sample is loaded.
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
    """Seed python's, numpy's and torch's CPU generators by `seeds` (each >= 0) within the block.

    Yields a numpy generator with a stream of its own. After the block the three global generators
    are restored; CUDA's generators are not touched.
    """
    python_state = random.getstate()
    numpy_state = np.random.get_state()
    torch_state = torch.get_rng_state()
    # Eight words of 32 bits: two each for python, numpy, torch and the generator that is yielded.
    words = np.random.SeedSequence(seeds).generate_state(8)
    torch_seed = int.from_bytes(words[4:6].tobytes(), "little")
    random.seed(words[:2].tobytes())
    np.random.seed(words[2:4])
    torch.default_generator.manual_seed(torch_seed)
    try:
        yield np.random.default_rng(words[6:])
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)


class SeededDataset(Dataset):
    """Dataset whose item `draw * len(dataset) + index` is sample `index` at random state `draw`.

    If the wrapped dataset defines `draw(index, rng)`, that is called instead of `__getitem__`.
    Every other attribute (`opt`, …) is the wrapped dataset's.
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
        # While unpickling, `dataset` is not set yet; protocols (__x__) of the wrapped dataset are
        # not those of this one.
        if name.startswith("__") or "dataset" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.dataset, name)


class DrawSampler(Sampler):
    """Order of an EnlargedSampler as numbers `draw * len(dataset) + index` for a SeededDataset.

    `draw` counts the samples of all ranks since the first epoch. `resume` is {'epoch': e, 'skip':
    n}: epoch `e` starts after its first `n` samples of this rank, so that a resumed training
    continues where it stopped.
    """

    def __init__(self, sampler: Sampler, resume: dict | None = None):
        self.sampler = sampler
        self.resume = resume or {"epoch": -1, "skip": 0}

    def __iter__(self) -> Iterator[int]:
        inner = self.sampler
        # Ranks take turns: sample i of rank r in epoch e is draw (e * length + i) * ranks + r.
        ranks = inner.num_replicas
        first = (inner.epoch * len(inner)) * ranks + inner.rank
        size = len(inner.dataset)
        numbers = []
        for i, index in enumerate(inner):
            draw = first + i * ranks
            numbers.append(draw * size + int(index))
        if inner.epoch == self.resume["epoch"]:
            del numbers[: self.resume["skip"]]
        return iter(numbers)

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order the next iteration gives."""
        self.sampler.set_epoch(epoch)


def mixed(*seeds: int) -> int:
    """Return one seed in [0, 2^63) made from several; different tuples give different seeds."""
    words = np.random.SeedSequence(seeds).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


def seed_worker(worker_id: int, num_workers: int, rank: int, seed: int) -> None:
    """Seed python and numpy in a worker, differently at every epoch; arguments as in BasicSR.

    A DataLoader gives its workers a torch seed that changes with each epoch; the other two
    generators are seeded from it here.
    """
    worker = get_worker_info()
    base = seed + num_workers * rank + worker_id
    if worker is not None:
        base = worker.seed
    words = np.random.SeedSequence([base, rank]).generate_state(4)
    random.seed(words[:2].tobytes())
    np.random.seed(words[2:])
