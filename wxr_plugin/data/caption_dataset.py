"""Degraded photos with the caption of their clean version and the word for what spoils them, to train DA-CLIP."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from basicsr.utils.registry import DATASET_REGISTRY
from msgspec import Meta
from PIL import Image

from wxr_plugin.data.caption_table import CaptionRow, read_table, refuse
from wxr_plugin.data.choice import ClassIndex
from wxr_plugin.data.crops import random_box, to_tensor
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
    """Tab-separated table with the columns filepath and title ("<caption>: <degradation>"), as `wxr label caption`
    writes it; captions.csv in dataroot when absent."""
    dataroot: ExistingPath | None = None
    """Folder that relative file names start from, or an .lmdb of these photos; the table's folder when absent. A file
    name may lead into an .lmdb too: hazy/LQ.lmdb/photo.png."""
    words: list[str] | None = None
    """Degradations that may occur; DA-CLIP's ten when absent."""
    size: AtLeastOne = 224
    """Side in pixels of the square that the CLIP sees."""
    scale_range: tuple[Chance, Chance] = (0.9, 1.0)
    """RandomResizedCrop in training: least and largest share of the area."""
    square_crop: Chance = 0.0
    """How often, in training, a random square of any side from 64 pixels up is cut out before that; 0.8 where the
    authors do so (their flag --crop)."""
    balanced: bool = True
    """Training takes all degradations equally often; else every row once an epoch."""
    max_bad: NotNegative = 10
    """Photos that may turn out unreadable; each is named and another takes its place."""

    def __post_init__(self) -> None:
        if self.captions is None and self.dataroot is None:
            raise ValueError(
                "give captions (the table), dataroot (with captions.csv in it), or both"
            )
        if not 0 < self.scale_range[0] <= self.scale_range[1]:
            raise ValueError(f"scale_range {list(self.scale_range)} is no range in (0, 1]")


class _Files:
    """Images by their paths, with the face of an ImageStore."""

    path = staticmethod(str)
    read = staticmethod(read_image)


@DATASET_REGISTRY.register()
class CaptionedDegradationDataset(WeatherDataset):
    """Items: lq, float32 RGB (3, size, size) in [0, 1]; caption, degradation (texts); lq_path.

    In training, random crops as published (no flips); else the short side is resized to `size` and
    the centre cut out. Both resize 8-bit images as Pillow does, bicubic.

    Raises:
        TableError: rows that are malformed or whose photo is not there; all of them, with their
            lines.
    """

    Options = CaptionedDegradationOptions

    def __init__(self, opt: dict[str, Any]):
        super().__init__(opt)
        options = self.options
        self.table = Path(options.captions or Path(options.dataroot) / "captions.csv").expanduser()
        rows = read_table(self.table, options.words or DEGRADATIONS)
        if not rows:
            raise OptionError(
                f"dataset {opt.get('name')}: {self.table} has no rows; wxr label caption makes them"
            )
        photos = self._open(rows)
        self.rows = list(rows.values())
        known = sorted({row.degradation for row in self.rows})
        classes = [known.index(row.degradation) for row in self.rows]
        self.use(photos, classes)
        self.numbers = ClassIndex(classes, balanced=self.training and options.balanced)

    @property
    def degradations(self) -> list[str]:
        """The degradations of this set, sorted."""
        return sorted({row.degradation for row in self.rows})

    def draw(self, index: int, rng: np.random.Generator) -> Item:
        """The sample at `index` with photo (where that one is bad) and crop taken from `rng`."""
        number, pixels = self.quota.first_good(index, self.numbers, rng, self._read)
        view = (
            self._random_view(pixels, rng) if self.training else middle(pixels, self.options.size)
        )
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
        least = min(SMALLEST_SQUARE, *pixels.shape[:2])
        if rng.random() < self.options.square_crop:
            side = int(rng.integers(least, min(pixels.shape[:2]) + 1))
            box = random_box(*pixels.shape[:2], side, rng)
            pixels = pixels[box.top : box.bottom, box.left : box.right]
        return random_resized_crop(pixels, self.options.size, self.options.scale_range, rng)

    def _open(self, rows: dict[int, CaptionRow]) -> list[tuple[ImageStore | _Files, str]]:
        """(store, key) of each row's photo, which a file name with an .lmdb in it has there."""
        root = Path(self.options.dataroot or self.table.parent).expanduser()
        stores: dict[Path, tuple[ImageStore, set[str]]] = {}
        found, missing = [], []
        for line, row in rows.items():
            path = root / Path(row.file).expanduser()
            packed = next((parent for parent in path.parents if parent.suffix == ".lmdb"), None)
            if packed and packed not in stores:
                store = ImageStore(packed)
                stores[packed] = store, set(store.keys())
            store, known = stores[packed] if packed else (_Files(), None)
            key = image_key(path.relative_to(packed)) if packed else str(path)
            found.append((store, key))
            if not (key in known if packed else path.is_file()):
                missing.append(f"{self.table}:{line}: {store.path(key)} is not there")
        refuse(self.table, missing)
        return found


def random_resized_crop(
    pixels: np.ndarray, size: int, scale: tuple[float, float], rng: np.random.Generator
) -> Image.Image:
    """torchvision's RandomResizedCrop of uint8 RGB (H, W, 3), bicubic, drawn from `rng`."""
    from torchvision.transforms.v2 import InterpolationMode, RandomResizedCrop

    with random_state(int(rng.integers(1 << 31))):
        crop = RandomResizedCrop(size, scale=scale, interpolation=InterpolationMode.BICUBIC)
        return crop(Image.fromarray(pixels))


def middle(pixels: np.ndarray, size: int) -> Image.Image:
    """uint8 RGB (H, W, 3) with its short side resized to `size`, bicubic, and the centre cut out."""
    from torchvision.transforms.v2 import InterpolationMode, functional

    resized = functional.resize(Image.fromarray(pixels), [size], InterpolationMode.BICUBIC)
    return functional.center_crop(resized, [size, size])
