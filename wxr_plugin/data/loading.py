"""Data loaders of BasicSR over seeded samples: reproducible and resumable."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from basicsr.data.data_sampler import EnlargedSampler
from basicsr.utils.dist_util import get_dist_info
from torch.utils.data import DataLoader, Dataset, Sampler

from wxr_plugin.checkpoints.resuming import consumed
from wxr_plugin.data.seeding import DrawSampler, SeededDataset, mixed
from wxr_plugin.errors import OptionError
from wxr_plugin.utils.start_method import worker_method


def build_dataloader(
    build: Callable[..., DataLoader],
    dataset: Dataset,
    dataset_opt: dict[str, Any],
    num_gpu: int = 1,
    dist: bool = False,
    sampler: Sampler | None = None,
    seed: int | None = None,
) -> DataLoader:
    """Build a loader with BasicSR's `build_dataloader` (`build`) over seeded training samples.

    Seeding needs an EnlargedSampler, which `train_pipeline` gives; with another sampler, or without
    a seed, samples are as in stock BasicSR. After a resume the first epoch continues where it
    stopped (`dataset_opt['resume']`).

    Raises:
        OptionError: a training set that does not fill one batch; stock BasicSR would silently train
            on nothing.
    """
    is_training = dataset_opt["phase"] == "train"
    if seed is not None and is_training and isinstance(sampler, EnlargedSampler):
        sampler.seed = seed
        sampler = DrawSampler(sampler)
        dataset = SeededDataset(dataset, seed)
    loader = build(dataset, _usable(dataset_opt), num_gpu, dist, sampler, seed)
    if loader.num_workers > 0:
        # None leaves the choice to torch.
        loader.multiprocessing_context = worker_method()
    if is_training and len(loader) == 0:
        raise OptionError(
            f"datasets.train: {len(loader.sampler)} samples a process fill no batch of "
            f"{loader.batch_size}, so there "
            "is nothing to train on; lower batch_size_per_gpu, or raise dataset_enlarge_ratio"
        )
    if isinstance(sampler, DrawSampler) and dataset_opt.get("resume"):
        _skip_consumed(loader, sampler, dataset_opt["resume"])
    if seed is not None:
        _own_generator(loader, mixed(seed, get_dist_info()[0]))
    return loader


def _usable(dataset_opt: dict[str, Any]) -> dict[str, Any]:
    """Return the options without those that need a GPU or workers that are not there."""
    workers = dataset_opt["num_worker_per_gpu"] if dataset_opt["phase"] == "train" else 0
    usable = {
        **dataset_opt,
        "pin_memory": dataset_opt.get("pin_memory", False) and torch.cuda.is_available(),
        "persistent_workers": dataset_opt.get("persistent_workers", False) and workers > 0,
    }
    # Without workers, BasicSR's prefetching thread would share one random state with the trainer.
    if dataset_opt.get("prefetch_mode") == "cpu" and workers == 0:
        usable["prefetch_mode"] = None
    return usable


def _skip_consumed(loader: DataLoader, sampler: DrawSampler, resume: dict[str, int]) -> None:
    """Let the resumed epoch skip the batches that were trained on before the state was saved."""
    done = consumed(resume, len(loader))
    if done is None:
        warnings.warn(
            f"the state of iteration {resume['iter']} in epoch {resume['epoch']} does not fit "
            f"epochs of {len(loader)} "
            "iterations (batch size, data or processes have changed): this epoch starts over",
            stacklevel=4,
        )
    else:
        sampler.resume = {"epoch": resume["epoch"], "skip": done * loader.batch_size}


def _own_generator(loader: DataLoader, seed: int) -> None:
    """Let `loader` draw its workers' seeds and its shuffling from a generator of its own."""
    loader.generator = torch.Generator().manual_seed(seed)
    if isinstance(loader.sampler, torch.utils.data.RandomSampler):
        loader.sampler.generator = loader.generator
