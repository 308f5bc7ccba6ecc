"""BasicSR's data loaders, repaired: streams that repeat exactly, and never by accident."""

import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader
from basicsr.data.data_sampler import EnlargedSampler
from basicsr.data.prefetch_dataloader import CPUPrefetcher
from torch.utils.data import Dataset

from wxr_plugin.errors import OptionError

SIZE = 10


class Crops(Dataset):
    """Item: its index and where its random crop lies, by numpy's and torch's global generators."""

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
    """Per epoch the samples as tuples, fetched as train_pipeline fetches them."""
    prefetcher, found = CPUPrefetcher(loader), []
    for number in numbers:
        loader.sampler.set_epoch(number)
        prefetcher.reset()
        found.append([])
        while (batch := prefetcher.next()) is not None:
            found[-1] += [
                tuple(float(batch[key][i]) for key in ("index", "crop", "flip")) for i in range(2)
            ]
    return found


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
    assert (
        sorted(sample[0] for sample in first)
        == sorted(sample[0] for sample in second)
        == list(range(SIZE))
    )
    assert [sample[0] for sample in first] != [sample[0] for sample in second]
    assert not {sample[1] for sample in first} & {sample[1] for sample in second}


def test_another_seed_gives_another_order_and_other_draws():
    one, other = epochs(loader(seed=1))[0], epochs(loader(seed=2))[0]
    assert [sample[0] for sample in one] != [sample[0] for sample in other]
    assert not {sample[1] for sample in one} & {sample[1] for sample in other}


@pytest.mark.parametrize("iteration", [6, 7, 10])
def test_a_resumed_stream_goes_on_where_it_stopped(iteration):
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


def test_what_needs_workers_or_a_gpu_is_left_out_without_them(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = loader(pin_memory=True, persistent_workers=True)
    assert not found.pin_memory and not found.persistent_workers


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
