"""Degraded photos with a caption and a degradation word each, to train DA-CLIP."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from basicsr.utils.registry import DATASET_REGISTRY
from msgspec import Meta
from PIL import Image

from wxr_plugin.data.caption_table import CaptionRow, read_table, refuse
from wxr_plugin.data.choice import ClassIndex
from wxr_plugin.data.crops import crop, random_box, to_tensor
from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.data.images.io import read_image
from wxr_plugin.data.images.store import ImageStore, image_key
from wxr_plugin.data.seeding import random_state
from wxr_plugin.data.weather_dataset import Item, WeatherDataset
from wxr_plugin.errors import OptionError
from wxr_plugin.schema import AtLeastOne, Block, ExistingPath, NotNegative

Chance = Annotated[float, Meta(ge=0, le=1)]
SMALLEST_SQUARE = 64
"""Least side of a square crop, in pixels, as published."""


class CaptionedDegradationOptions(Block):
    """Options of CaptionedDegradationDataset."""

    captions: ExistingPath | None = None
    """Tab-separated table with the columns filepath and title ("<caption>: <degradation>").

    `wxr label caption` writes such a table. Defaults to captions.csv in dataroot.
    """
    dataroot: ExistingPath | None = None
    """Folder that relative file names start from, or an .lmdb of these photos.

    Defaults to the table's folder. A file name may point into an .lmdb too:
    hazy/LQ.lmdb/photo.png.
    """
    words: list[str] | None = None
    """Degradations that may occur; defaults to DA-CLIP's ten."""
    size: AtLeastOne = 224
    """Side of the square input of CLIP, in pixels."""
    scale_range: tuple[Chance, Chance] = (0.9, 1.0)
    """Range of RandomResizedCrop in training, as shares of the area."""
    square_crop: Chance = 0.0
    """Probability in training of cutting out a random square first, with a side from 64 pixels up.

    The authors use 0.8 with their flag --crop.
    """
    balanced: bool = True
    """Take all degradations equally often in training; otherwise every row once an epoch."""
    max_bad: NotNegative = 10
    """Number of photos that may be unreadable; each is logged and replaced by another."""

    def __post_init__(self) -> None:
        if self.captions is None and self.dataroot is None:
            raise ValueError(
                "give captions (the table), dataroot (with captions.csv in it), or both"
            )
        if not 0 < self.scale_range[0] <= self.scale_range[1]:
            raise ValueError(f"scale_range {list(self.scale_range)} is not a range within (0, 1]")


class _Files:
    """Images keyed by path, with the interface of an ImageStore."""

    path = staticmethod(str)
    read = staticmethod(read_image)


@DATASET_REGISTRY.register()
class CaptionedDegradationDataset(WeatherDataset):
    """Dataset of degraded photos with caption and degradation.

    An item has lq, float32 RGB (3, size, size) in [0, 1]; caption and degradation (texts); lq_path.

    In training, items are random crops as published (no flips); otherwise the short side is resized
    to `size` and the centre is cut out. Both resize 8-bit images as Pillow does, bicubic.

    Raises:
        TableError: rows are malformed or their photo is missing; the message lists them.
    """

    Options = CaptionedDegradationOptions

    def __init__(self, opt: dict[str, Any]):
        super().__init__(opt)
        options = self.options
        table = options.captions or Path(options.dataroot) / "captions.csv"
        self.table = Path(table).expanduser()
        rows = read_table(self.table, options.words or DEGRADATIONS)
        if not rows:
            raise OptionError(
                f"dataset {opt.get('name')}: {self.table} has no rows; wxr label caption makes them"
            )
        photos = self._open(rows)
        self.rows = list(rows.values())
        words = self.degradations
        classes = [words.index(row.degradation) for row in self.rows]
        self.use(photos, classes)
        is_balanced = self.training and options.balanced
        self.numbers = ClassIndex(classes, balanced=is_balanced)

    @property
    def degradations(self) -> list[str]:
        """Degradations of this set, sorted."""
        return sorted({row.degradation for row in self.rows})

    def draw(self, index: int, rng: np.random.Generator) -> Item:
        """Return the sample at `index`, with the crop, and a replacement photo, from `rng`."""
        number, pixels = self.quota.first_good(index, self.numbers, rng, self._read)
        if self.training:
            view = self._random_view(pixels, rng)
        else:
            view = middle(pixels, self.options.size)
        row = self.rows[number]
        return {
            "lq": to_tensor(np.array(view)),
            "caption": row.caption,
            "degradation": row.degradation,
            "lq_path": self.path(number),
        }

    def _read(self, number: int) -> np.ndarray:
        store, key = self.photos[number]
        return store.read(key)

    def _random_view(self, pixels: np.ndarray, rng: np.random.Generator) -> Image.Image:
        options = self.options
        if rng.random() < options.square_crop:
            height, width = pixels.shape[:2]
            longest = min(height, width)
            shortest = min(SMALLEST_SQUARE, longest)
            side = int(rng.integers(shortest, longest + 1))
            box = random_box(height, width, side, rng)
            pixels = crop(pixels, box, side)
        return random_resized_crop(pixels, options.size, options.scale_range, rng)

    def _open(self, rows: dict[int, CaptionRow]) -> list[tuple[ImageStore | _Files, str]]:
        """Return (store, key) of each row's photo.

        Raises:
            TableError: a photo is missing.
        """
        folder = self.options.dataroot or self.table.parent
        root = Path(folder).expanduser()
        stores = _Stores()
        photos = []
        missing = []
        for line, row in rows.items():
            path = root / Path(row.file).expanduser()
            store, key, exists = stores.locate(path)
            photos.append((store, key))
            if not exists:
                place = store.path(key)
                missing.append(f"{self.table}:{line}: {place} is not there")
        refuse(self.table, missing)
        return photos


class _Stores:
    """The LMDBs of a table, each opened once."""

    def __init__(self):
        self._opened: dict[Path, tuple[ImageStore, set[str]]] = {}

    def locate(self, path: Path) -> tuple[ImageStore | _Files, str, bool]:
        """Return the store and the key of a photo, and whether it exists.

        A path with an .lmdb in it (hazy/LQ.lmdb/photo.png) is a key of that LMDB.
        """
        lmdbs = (parent for parent in path.parents if parent.suffix == ".lmdb")
        root = next(lmdbs, None)
        if root is None:
            return _Files(), str(path), path.is_file()
        if root not in self._opened:
            store = ImageStore(root)
            self._opened[root] = (store, set(store.keys()))
        store, keys = self._opened[root]
        key = image_key(path.relative_to(root))
        exists = key in keys
        return store, key, exists


def random_resized_crop(
    pixels: np.ndarray,
    size: int,
    scale: tuple[float, float],
    rng: np.random.Generator,
) -> Image.Image:
    """Apply torchvision's RandomResizedCrop, bicubic, to uint8 RGB (H, W, 3), drawn from `rng`."""
    from torchvision.transforms.v2 import InterpolationMode, RandomResizedCrop

    # torchvision draws from torch's global generator, so that is seeded from `rng` meanwhile.
    seed = int(rng.integers(1 << 31))
    with random_state(seed):
        transform = RandomResizedCrop(size, scale=scale, interpolation=InterpolationMode.BICUBIC)
        return transform(Image.fromarray(pixels))


def middle(pixels: np.ndarray, size: int) -> Image.Image:
    """Resize the short side of uint8 RGB (H, W, 3) to `size`, bicubic, and cut out the centre."""
    from torchvision.transforms.v2 import InterpolationMode, functional

    image = Image.fromarray(pixels)
    resized = functional.resize(image, [size], InterpolationMode.BICUBIC)
    return functional.center_crop(resized, [size, size])
