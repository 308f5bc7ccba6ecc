"""Datasets of option files under MMEngine's loaders, and BasicSR's order of samples."""

import pytest
import torch
from basicsr.data.data_sampler import EnlargedSampler
from mmengine.runner import Runner
from torch.utils.data import default_collate

from wxr_plugin.data.lmdb.build import build
from wxr_plugin.data.seeding import DrawSampler, SeededDataset
from wxr_plugin.errors import OptionError
from wxr_plugin.mm.datasets import WxrDataset
from wxr_plugin.mm.samplers import Epochs, WxrSampler
from wxr_plugin.mm.supervised import WxrPreprocessor


@pytest.fixture
def block(pairs):
    roots = {"dataroot_gt": str(pairs / "gt"), "dataroot_lq": str(pairs / "lq")}
    return {"type": "PairedWeatherDataset", **roots, "gt_size": 16}


def test_an_lmdb_gives_what_its_folder_gives(block, pairs, tmp_path):
    build(pairs / "gt", tmp_path / "gt.lmdb")
    build(pairs / "lq", tmp_path / "lq.lmdb")
    roots = {f"dataroot_{kind}": str(tmp_path / f"{kind}.lmdb") for kind in ("gt", "lq")}
    folder, lmdb = WxrDataset(block, "val"), WxrDataset({**block, **roots}, "val")
    assert len(folder) == len(lmdb) == 9
    assert all(torch.equal(folder[i][key], lmdb[i][key]) for i in range(9) for key in ("lq", "gt"))
    assert folder[3]["name"] == lmdb[3]["name"] == "3"


def host_order(dataset, seed, epochs):
    sampler = EnlargedSampler(dataset, 1, 0, 2)
    sampler.seed = seed
    draws, samples = DrawSampler(sampler), SeededDataset(dataset.dataset, seed)
    for epoch in range(epochs):
        draws.set_epoch(epoch)
        numbers = list(draws)
        for start in range(0, len(numbers) - 3, 4):
            yield [samples[number]["lq"] for number in numbers[start : start + 4]]


@pytest.mark.parametrize("done", [0, 3, 4, 9])
def test_batches_come_in_the_hosts_order_from_any_place_on(block, done):
    """Nine pairs, twice per epoch, in batches of four: four per epoch, two samples are dropped."""
    dataset = WxrDataset(block)
    sampler = {"type": "WxrSampler", "ratio": 2}
    loader = {
        "batch_size": 4,
        "num_workers": 0,
        "drop_last": True,
        "collate_fn": {"type": "default_collate"},
    }
    loader = Runner.build_dataloader({**loader, "dataset": dataset, "sampler": sampler}, seed=5)
    expected = list(host_order(dataset, 5, 3))
    batches = Epochs(loader, done)
    assert all(next(batches) is None for _ in range(done))
    for batch in expected[done:]:
        assert torch.equal(next(batches)["lq"], torch.stack(batch))


def test_another_dataset_is_refused():
    with pytest.raises(
        OptionError, match="WxrSampler is for a WxrDataset, not list: use InfiniteSampler"
    ):
        WxrSampler([1, 2])


def test_any_collate_function_will_do(block):
    items = [WxrDataset(block, "val")[index] for index in (0, 0)]
    listed = {key: [item[key] for item in items] for key in items[0]}
    found, joined = WxrPreprocessor()(listed), default_collate(items)
    assert torch.equal(found["lq"], joined["lq"]) and found["lq_path"] == joined["lq_path"]
