"""Samples depend on the seed and their place in the training, and on nothing else."""

import random

import numpy as np
import pytest
import torch
from basicsr.data.data_sampler import EnlargedSampler
from torch.utils.data import Dataset

from wxr_plugin.data.seeding import DrawSampler, SeededDataset, mixed, random_state, seed_worker


class Dice(Dataset):
    """Item: its index and a number from each generator."""

    opt = {"name": "dice"}

    def __init__(self, size=5):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return index, random.random(), np.random.rand(), torch.rand(1).item()


class Drawn(Dice):
    def draw(self, index, rng):
        return index, rng.random(), np.random.rand()


def everything():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_random_state_is_a_function_of_its_seeds_and_leaves_no_trace():
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    expected = everything()
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    streams = []
    for seeds in [(0, 1), (0, 1), (0, 2), (1, 1)]:
        with random_state(*seeds) as rng:
            streams.append((*everything(), rng.random()))
    assert everything() == expected
    assert streams[0] == streams[1]
    # Three different seeds, and four generators.
    for numbers in zip(*streams, strict=True):
        assert len(set(numbers)) == 3


def test_random_state_is_restored_after_an_error():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), random_state(1):
        torch.rand(1)
        raise RuntimeError
    assert torch.equal(before, torch.get_rng_state())


def test_a_number_is_draw_times_size_plus_index():
    data = SeededDataset(Dice(), seed=3)
    assert data[2][0] == data[5 + 2][0] == 2
    assert data[2] == data[2] != data[5 + 2]
    assert data[7] != SeededDataset(Dice(), seed=4)[7]


def test_a_datasets_own_draw_is_preferred_and_gets_the_draws_generator():
    data = SeededDataset(Drawn(), seed=3)
    assert data[2] == data[2] and data[2][1] != data[7][1]
    assert len(data[2]) == 3


def test_attributes_are_the_wrapped_datasets():
    data = SeededDataset(Dice(), seed=3)
    assert data.opt["name"] == "dice" and data.size == 5 and len(data) == 5
    assert not hasattr(data, "__getitems__") and not hasattr(data, "missing")


def draws(rank, ranks, epoch, ratio=2, resume=None):
    sampler = DrawSampler(EnlargedSampler(Dice(), ranks, rank, ratio), resume)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_draws_never_repeat_over_epochs_and_ranks():
    numbers = [n for epoch in range(3) for rank in range(2) for n in draws(rank, 2, epoch)]
    assert sorted(n // 5 for n in numbers) == list(range(30))


def test_every_index_comes_as_often_as_the_enlargement_says():
    assert sorted(n % 5 for n in draws(0, 1, 4)) == sorted(list(range(5)) * 2)


def test_the_samples_do_not_depend_on_the_number_of_processes():
    alone = draws(0, 1, 3)
    shared = [n for pair in zip(draws(0, 2, 3), draws(1, 2, 3)) for n in pair]
    assert alone == shared


def test_only_the_resumed_epoch_is_shortened():
    resume = {"epoch": 1, "skip": 4}
    assert draws(0, 1, 1, resume=resume) == draws(0, 1, 1)[4:]
    assert draws(0, 1, 2, resume=resume) == draws(0, 1, 2)


def test_mixed_separates_seed_and_epoch():
    assert len({mixed(seed, epoch) for seed in range(30) for epoch in range(30)}) == 900
    assert 0 <= mixed(2, 3) < 2**63


def test_a_worker_outside_a_loader_is_seeded_by_its_number_and_rank():
    seeded = []
    for worker, rank in [(0, 0), (0, 0), (1, 0), (0, 1)]:
        seed_worker(worker, 2, rank, 5)
        seeded.append((random.random(), np.random.rand()))
    assert seeded[0] == seeded[1] and len(set(seeded)) == 3
