"""Repairs of datasets, data loading and LMDBs."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

from wxr_plugin.compat.machinery import lacks, repairs, uses


def _refuses_float_quality(add_jpg_compression: Callable) -> bool:
    import cv2
    import numpy as np

    try:
        add_jpg_compression(np.zeros((8, 8, 3), np.float32), 90.5)
    except cv2.error:
        return True
    return False


@repairs("basicsr.data.degradations:add_jpg_compression", _refuses_float_quality)
def add_jpg_compression(original: Callable, img: Any, quality: float = 90) -> Any:
    """Round the quality, since cv2.imencode takes integers only (BasicSR#578)."""
    return original(img, round(quality))


@repairs("basicsr.data:worker_init_fn", lacks("get_worker_info", "initial_seed"))
def worker_init_fn(
    original: Callable, worker_id: int, num_workers: int, rank: int, seed: int
) -> None:
    """Seed a worker differently at every epoch (pytorch#5059).

    With stock, crops and flips repeat in every epoch unless workers persist.
    """
    from wxr_plugin.data.seeding import seed_worker

    seed_worker(worker_id, num_workers, rank, seed)


@repairs("basicsr.data.data_sampler:EnlargedSampler.__iter__", lacks("seed"))
def enlarged_order(original: Callable, self: Any) -> Iterator[int]:
    """Shuffle by seed and epoch; stock shuffles by the epoch alone. No upstream thread known.

    The constructor of the sampler takes no seed; `build_dataloader` sets the attribute `seed`.
    """
    from wxr_plugin.data.seeding import mixed

    if getattr(self, "seed", None) is None:
        return original(self)
    epoch = self.epoch
    self.epoch = mixed(self.seed, epoch)  # BasicSR seeds its shuffle with the epoch
    try:
        return original(self)
    finally:
        self.epoch = epoch


@repairs("basicsr.data:build_dataloader", lacks("generator"))
def build_dataloader(original: Callable, *args: Any, **kwargs: Any) -> Any:
    """Make samples depend on manual_seed and their place in the training alone (pytorch#5059)."""
    from wxr_plugin.data.loading import build_dataloader

    return build_dataloader(original, *args, **kwargs)


@repairs("basicsr.data.transforms:paired_random_crop", uses("Scale mismatches. GT ("))
def paired_random_crop(
    original: Callable,
    img_gts: Any,
    img_lqs: Any,
    gt_patch_size: int,
    scale: int,
    gt_path: str | None = None,
) -> Any:
    """Name the file in errors about unequal pairs, as stock does not; no upstream thread known."""
    from wxr_plugin.errors import WxrError

    try:
        return original(img_gts, img_lqs, gt_patch_size, scale, gt_path)
    except ValueError as error:
        reason = "".join(map(str, error.args))
        message = f"{gt_path or 'a pair'}: {reason} `wxr check` lists all such pairs."
        raise WxrError(message) from error


@repairs("basicsr.data.prefetch_dataloader:PrefetchGenerator.run", lacks("Exception"))
def prefetch_run(original: Callable, self: Any) -> None:
    """Pass an error of the loader to the consumer; with stock the training waits forever.

    No upstream thread known.
    """
    try:
        original(self)
    except Exception as error:
        self.failure = error
        self.queue.put(None)  # ends the wait of __next__


@repairs("basicsr.data.prefetch_dataloader:PrefetchGenerator.__next__", lacks("failure"))
def prefetch_next(original: Callable, self: Any) -> Any:
    """Raise the error that `prefetch_run` has caught. No upstream thread known."""
    try:
        return original(self)
    except StopIteration:
        if getattr(self, "failure", None) is None:
            raise
        raise self.failure from None


@repairs("basicsr.data.prefetch_dataloader:CPUPrefetcher.__init__", uses("iter"))
def cpu_prefetcher(original: Callable, self: Any, loader: Any) -> None:
    """Start no workers before the first use. No upstream thread known.

    train_pipeline resets the prefetcher at once, and stock never ends the threads and workers that
    were started before.
    """
    self.ori_loader = loader
    self.loader = _started_late(loader)


def _started_late(loader: Any) -> Iterator[Any]:
    yield from loader


@repairs(
    "basicsr.data.prefetch_dataloader:CUDAPrefetcher.__new__",
    lambda original: original is object.__new__,
)
def cuda_prefetcher(original: Callable, cls: type, loader: Any, opt: dict) -> Any:
    """Return a CPUPrefetcher without a GPU, where stock raises (BasicSR#107 asks for CPU)."""
    import torch
    from basicsr.data.prefetch_dataloader import CPUPrefetcher

    if torch.cuda.is_available() and opt["num_gpu"] != 0:
        return original(cls)
    warnings.warn(
        "prefetch_mode cuda without a GPU: batches are fetched as with no prefetch_mode",
        stacklevel=3,
    )
    return CPUPrefetcher(loader)


@repairs("basicsr.utils.file_client:LmdbBackend.__init__", uses("open"))
def lmdb_backend(
    original: Callable,
    self: Any,
    db_paths: str | list[str],
    client_keys: str | list[str] = "default",
    readonly: bool = True,
    lock: bool = False,
    readahead: bool = False,
    **kwargs: Any,
) -> None:
    """Share one environment per path and process, opened at the first read.

    py-lmdb refuses to open a database twice in a process. So train and validation sets may use one
    LMDB, and a backend can be forked and pickled. No upstream thread known.
    """
    from wxr_plugin.utils.lmdb_cache import LazyEnvironment

    # BasicSR accepts one path or several; each key reads from its own database.
    keys = [client_keys] if isinstance(client_keys, str) else client_keys
    paths = db_paths if isinstance(db_paths, list) else [db_paths]
    self.db_paths = [str(path) for path in paths]
    if len(keys) != len(self.db_paths):
        raise ValueError(f"client_keys {keys} and db_paths {self.db_paths} differ in number")
    options = dict(readonly=readonly, lock=lock, readahead=readahead, **kwargs)
    self._client = {key: LazyEnvironment(path, **options) for key, path in zip(keys, self.db_paths)}
