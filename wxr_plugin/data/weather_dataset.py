"""Base class of the weather datasets, and how they open their roots."""

from typing import Any

import cv2
import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from wxr_plugin.data.choice import ClassIndex, Quota
from wxr_plugin.data.images.io import BadImageError
from wxr_plugin.data.images.store import ImageStore
from wxr_plugin.errors import OptionError
from wxr_plugin.schema import Block

Item = dict[str, Tensor | str | int | float]
VAL_SEED = 20240
"""First part of the seeds of validation items; the second is their index."""


class WeatherDataset(Dataset):
    """Dataset whose sample is a function of an index and a random generator: `draw(index, rng)`.

    In training, `rng` is seeded by (manual_seed, draw) if `wxr_plugin.data.loading` built the
    loader, and by numpy's global state otherwise. In validation it is seeded by the index, so that
    an item is always the same.
    """

    Options: type[Block]

    def __init__(self, opt: dict[str, Any]):
        super().__init__()
        self.opt = opt
        self.options = self.Options.read(opt)
        self.training = opt["phase"] == "train"
        # A loader forks its workers. One that inherits OpenCV's pool of threads, which the parent
        # may just have used, waits for it forever now and then; without threads there is no pool.
        cv2.setNumThreads(0)
        _refuse_unused_options(opt)

    def use(self, photos: list[tuple[ImageStore, str]], weathers: list[int]) -> None:
        """Set the photos, as (store, key), and the weather of each."""
        self.photos = photos
        self.weathers = weathers
        self.numbers = ClassIndex(weathers, balanced=self.training)
        self.quota = Quota(len(photos), self.options.max_bad, self.path)

    def path(self, number: int) -> str:
        """Return the path of photo `number`."""
        store, key = self.photos[number]
        return store.path(key)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Item:
        # BasicSR's loaders seed numpy's global state in each worker, so training draws from that.
        seed = np.random.randint(1 << 31) if self.training else (VAL_SEED, index)
        rng = np.random.default_rng(seed)
        return self.draw(index, rng)

    def draw(self, index: int, rng: np.random.Generator) -> Item:
        """Return the sample at `index` with everything random taken from `rng`."""
        raise NotImplementedError


def open_store(opt: dict[str, Any], root: str, cache: bool = False) -> ImageStore:
    """Open the folder or LMDB `root` of a dataset block.

    Raises:
        OptionError: io_backend asks for the other kind.
    """
    store = ImageStore(root, cache)
    options = opt.get("io_backend") or {}
    backend = options.get("type")
    wants_lmdb = backend == "lmdb"
    if backend is not None and wants_lmdb != store.is_lmdb:
        raise OptionError(
            f"io_backend is {backend}, but {root} is not: fix one of them, or leave io_backend out"
        )
    return store


def refuse_unequal_sizes(lq: np.ndarray, gt: np.ndarray, path: str) -> None:
    """Raise BadImageError, with the path of lq, if a pair's images (H, W, 3) differ in size."""
    if lq.shape == gt.shape:
        return
    raise BadImageError(f"{path}: {_size(lq)} pixels, but its ground truth {_size(gt)}")


def _size(image: np.ndarray) -> str:
    height, width = image.shape[:2]
    return f"{width}x{height}"


def _refuse_unused_options(opt: dict[str, Any]) -> None:
    """Raise OptionError for BasicSR's options that these datasets would silently ignore."""
    name = opt.get("name")
    kind = opt.get("type")
    if opt.get("scale", 1) != 1:
        raise OptionError(
            f"dataset {name}: {kind} has lq and gt of one size; set scale: 1, not {opt['scale']}"
        )
    for key in ("mean", "std"):
        if opt.get(key) is not None:
            raise OptionError(f"dataset {name}: images of {kind} stay in [0, 1]; take {key} out")
