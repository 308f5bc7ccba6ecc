"""Data loaders of BasicSR over seeded samples: streams repeat exactly, and never by accident."""

import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader
from basicsr.data.data_sampler import EnlargedSampler
from basicsr.data.prefetch_dataloader import CPUPrefetcher
from torch.utils.data import Dataset

from wxr_plugin.data import loading
from wxr_plugin.errors import OptionError

SIZE = 10


class Crops(Dataset):
    """Dataset of indices and random numbers from numpy's and torch's global generators."""

    def __len__(self):
        return SIZE

    def __getitem__(self, index):
        return {"index": index, "crop": np.random.randint(1 << 30), "flip": torch.rand(1)}


def loader(workers=0, seed=1, dataset=None, **options):
    block = {"phase": "train", "batch_size_per_gpu": 2, "num_worker_per_gpu": workers, **options}
    dataset = dataset or Crops()
    return build_dataloader(
        dataset, block, num_gpu=0, sampler=EnlargedSampler(dataset, 1, 0), seed=seed
    )


def epochs(loader, numbers=(0, 1)):
    """Return the samples of each epoch as tuples, fetched as train_pipeline fetches them."""
    prefetcher = CPUPrefetcher(loader)
    samples = []
    for number in numbers:
        loader.sampler.set_epoch(number)
        prefetcher.reset()
        samples.append([])
        while (batch := prefetcher.next()) is not None:
            columns = [batch[key].flatten().tolist() for key in ("index", "crop", "flip")]
            samples[-1] += [tuple(map(float, sample)) for sample in zip(*columns, strict=True)]
    return samples


def indices(samples):
    return [index for index, _, _ in samples]


def crops(samples):
    return [crop for _, crop, _ in samples]


def test_the_stream_is_the_same_for_any_number_of_workers():
    alone = epochs(loader())
    assert alone == epochs(loader(workers=1)) == epochs(loader(workers=2))
    assert alone == epochs(loader(workers=2, persistent_workers=True))
    assert (
        alone
        == epochs(loader(workers=2, prefetch_mode="cpu"))
        == epochs(loader(prefetch_mode="cpu"))
    )


def test_two_epochs_share_no_draw():
    first, second = epochs(loader(workers=2))
    assert sorted(indices(first)) == sorted(indices(second)) == list(range(SIZE))
    assert indices(first) != indices(second)
    assert not set(crops(first)) & set(crops(second))


def test_another_seed_gives_another_order_and_other_draws():
    first, _ = epochs(loader(seed=1))
    second, _ = epochs(loader(seed=2))
    assert indices(first) != indices(second)
    assert not set(crops(first)) & set(crops(second))


@pytest.mark.parametrize("iteration", [6, 7, 10])
def test_a_resumed_stream_continues_where_it_stopped(iteration):
    whole = [sample for epoch in epochs(loader(), range(3)) for sample in epoch]
    resumed = epochs(loader(resume={"epoch": 1, "iter": iteration}), range(1, 3))
    assert [sample for epoch in resumed for sample in epoch] == whole[iteration * 2 :]


def test_a_state_of_another_batch_size_restarts_the_epoch_and_says_so():
    with pytest.warns(UserWarning, match="this epoch starts over"):
        changed = loader(resume={"epoch": 1, "iter": 40})
    assert epochs(changed, [1]) == epochs(loader(), [1])


def test_loading_does_not_draw_from_the_global_generators():
    torch.manual_seed(5), np.random.seed(5)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(5), np.random.seed(5)
    epochs(loader())
    epochs(loader(workers=1))
    list(build_dataloader(list(range(3)), {"phase": "val"}, seed=1))
    assert (torch.rand(1), np.random.rand()) == expected


def test_without_a_seed_loading_is_stocks():
    block = {"phase": "train", "batch_size_per_gpu": 2, "num_worker_per_gpu": 0}
    plain = build_dataloader(Crops(), block, num_gpu=0, sampler=EnlargedSampler(Crops(), 1, 0))
    assert isinstance(plain.dataset, Crops) and isinstance(plain.sampler, EnlargedSampler)


def test_without_a_sampler_the_shuffle_is_seeded():
    block = {"phase": "train", "batch_size_per_gpu": 2, "num_worker_per_gpu": 0}
    orders = [
        torch.cat(
            [batch["index"] for batch in build_dataloader(Crops(), block, num_gpu=0, seed=seed)]
        ).tolist()
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


def test_options_that_need_workers_or_a_gpu_are_left_out_without_them(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    usable = loader(pin_memory=True, persistent_workers=True)
    assert not usable.pin_memory and not usable.persistent_workers


def test_workers_are_forked_where_python_would_not(monkeypatch):
    monkeypatch.setattr(loading, "worker_method", lambda: "fork")
    assert loader(workers=1).multiprocessing_context.get_start_method() == "fork"
    assert loader(workers=0).multiprocessing_context is None, "torch refuses one without workers"


def test_the_platforms_start_method_is_left_to_torch(monkeypatch):
    monkeypatch.setattr(loading, "worker_method", lambda: None)
    assert loader(workers=1).multiprocessing_context is None


def test_a_set_that_fills_no_batch_is_refused():
    with pytest.raises(OptionError, match="fill no batch of 11"):
        loader(batch_size_per_gpu=11)


class Broken(Crops):
    def __getitem__(self, index):
        raise RuntimeError("photo.png is broken")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("mode", [None, "cpu"])
def test_an_error_while_loading_reaches_the_training(mode, workers):
    prefetcher = CPUPrefetcher(loader(workers, dataset=Broken(), prefetch_mode=mode))
    prefetcher.reset()
    with pytest.raises(RuntimeError, match=r"photo\.png is broken"):
        prefetcher.next()
