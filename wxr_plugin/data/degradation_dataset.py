"""Pairs of DA-CLIP's ten degradations: given in the official layout, drawn on clean photos on the fly, or both."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from basicsr.utils import get_root_logger
from basicsr.utils.registry import DATASET_REGISTRY

from wxr_plugin.data.crops import Turn, crop, random_box, to_float, to_tensor
from wxr_plugin.data.degradations.apply import degrade
from wxr_plugin.data.degradations.choice import Balanced, InOrder, rng_of
from wxr_plugin.data.degradations.layout import gt_folders, read_pairs, split_of, words_in
from wxr_plugin.data.degradations.options import (
    WILD,
    DegradationOptions,
    SyntheticDegradations,
    check_options,
)
from wxr_plugin.data.degradations.wild import wild_clean, wild_degrade
from wxr_plugin.data.degradations.wild_settings import load_psfs
from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.data.images.io import BadImageError
from wxr_plugin.data.images.store import ImageStore
from wxr_plugin.data.weather_dataset import Item, WeatherDataset, open_store
from wxr_plugin.errors import OptionError


class _Entry(NamedTuple):
    """A pair, or a clean photo (no lq)."""

    gt: ImageStore
    gt_key: str
    lq: ImageStore | None = None
    lq_key: str = ""


@DATASET_REGISTRY.register()
class DegradationDataset(WeatherDataset):
    """Items: lq and gt, float32 RGB (3, H, W) in [0, 1]; lq_path, gt_path; degradation, one of DEGRADATIONS or "wild".

    With guide_size lq_guide, all of the degraded photo as a guide sees it, and lq_guide_key, its
    name, come besides. In training, crops of gt_size, all degradations equally often: the index
    modulo their number chooses the degradation, then any image of it is taken. Else every pair in
    order, whole, then every clean photo with every synthetic degradation, which depends on the
    photo's name alone. The lq_path of a synthetic image is no file, but
    <dataroot_gt>/<degradation>/<photo>, so that results have names of their own.

    Raises:
        WxrError: roots that hold no images or do not pair; options that contradict each other.
    """

    Options = DegradationOptions

    def __init__(self, opt: dict[str, Any]):
        super().__init__(opt)
        check_options(opt.get("name"), self.options, self.training)
        self.entries: list[_Entry] = []
        numbers: dict[str, list[int]] = {}
        for word, pairs in (self._pairs(opt) if self.options.dataroot else {}).items():
            numbers[word] = self._add(pairs)
        if self.options.synthetic:
            clean = open_store(opt, self.options.dataroot_gt, self.options.cache)
            photos = self._add([_Entry(clean, key) for key in sorted(clean.keys())])
            for word in self.options.synthetic.degradations:
                numbers[word] = numbers.get(word, []) + photos
            _tell_of_wild(self.options.synthetic)
        self.groups = [(word, numbers[word]) for word in (*DEGRADATIONS, WILD) if word in numbers]
        self.order = [(word, number) for word, group in self.groups for number in group]
        self.use([(entry.gt, entry.gt_key) for entry in self.entries], [0] * len(self.entries))

    @staticmethod
    def gt_roots(block: Mapping[str, Any], training: bool) -> list[Path]:
        """Where the ground truth of a block's pairs lies, for the check of leaks; what is there."""
        root, words = block.get("dataroot"), block.get("degradations")
        split = str(_split(block.get("split"), training))
        return (
            gt_folders(root, split, words if isinstance(words, list) else ())
            if isinstance(root, str)
            else []
        )

    def __len__(self) -> int:
        """In training the number of degradations times the images of the largest; else the pairs and photos."""
        largest = max(len(group) for _, group in self.groups)
        return len(self.groups) * largest if self.training else len(self.order)

    def draw(self, index: int, rng: np.random.Generator) -> Item:
        """The sample at `index` with photo, crop, turn and degradation taken from `rng`; no validation item does."""
        choice = Balanced(self.groups, len(self), rng) if self.training else InOrder(self.order)
        number, (gt, lq) = self.quota.first_good(index, choice, rng, self._read)
        paths = {"lq_path": self._lq_path(number, choice.word), "gt_path": self.path(number)}
        whole = {}
        if self.training:
            if self.options.guide_size:
                whole = {
                    "lq_guide": guide_view(lq, self.options.guide_size),
                    "lq_guide_key": paths["lq_path"],
                }
            gt, lq = self._augment((gt, lq), rng)
        else:
            rng = rng_of(choice.word, self.entries[number].gt_key)
        if lq is None:
            gt, lq = self._degrade(gt, choice.word, rng)
        return {
            "lq": to_tensor(lq),
            "gt": to_tensor(gt),
            "degradation": choice.word,
            **paths,
            **whole,
        }

    def _add(self, entries: list[_Entry]) -> list[int]:
        """Append to `entries`; their numbers."""
        self.entries += entries
        return list(range(len(self.entries) - len(entries), len(self.entries)))

    def _pairs(self, opt: dict[str, Any]) -> dict[str, list[_Entry]]:
        folder = split_of(self.options.dataroot, _split(self.options.split, self.training))
        there = words_in(folder)
        missing = [word for word in self.options.degradations or () if word not in there]
        if missing:
            raise OptionError(
                f"dataset {opt.get('name')}: {folder} has no {', no '.join(missing)}, but "
                f"{', '.join(there)}"
            )
        found = {}
        for word in self.options.degradations or there:
            lq, gt, keys = read_pairs(folder / word, self.options.check_names, self.options.cache)
            found[word] = [_Entry(gt, gt_key, lq, lq_key) for lq_key, gt_key in keys]
        return found

    def _read(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        entry = self.entries[number]
        gt = entry.gt.read(entry.gt_key)
        lq = entry.lq.read(entry.lq_key) if entry.lq else None
        if lq is not None and lq.shape != gt.shape:
            sizes = [f"{image.shape[1]}x{image.shape[0]}" for image in (lq, gt)]
            raise BadImageError(
                f"{entry.lq.path(entry.lq_key)}: {sizes[0]} pixels, but its ground truth {sizes[1]}"
            )
        return gt, lq

    def _augment(
        self, images: Sequence[np.ndarray | None], rng: np.random.Generator
    ) -> list[np.ndarray | None]:
        """One box and one turn for both, while they still have 8 bits."""
        box = random_box(*images[0].shape[:2], self.options.gt_size, rng)
        turn = Turn.draw(rng, self.options.use_hflip, self.options.use_rot)
        return [
            None if image is None else turn.apply(crop(image, box, self.options.gt_size))
            for image in images
        ]

    def _degrade(
        self, gt: np.ndarray, word: str, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        synthetic = self.options.synthetic
        if word == WILD:
            gt = wild_clean(gt, rng)
            return gt, wild_degrade(to_float(gt), rng, synthetic.wild)
        return gt, degrade(to_float(gt), word, rng.uniform(*synthetic.range_of(word)), rng)

    def _lq_path(self, number: int, word: str) -> str:
        entry = self.entries[number]
        if entry.lq:
            return entry.lq.path(entry.lq_key)
        root = Path(self.options.dataroot_gt).expanduser()
        return str(root / word / Path(self.path(number)).relative_to(root))


def _split(named: str | None, training: bool) -> str:
    return named or ("train" if training else "val")


def guide_view(photo: np.ndarray, size: int) -> torch.Tensor:
    """(3, size, size) in [0, 1] of a uint8 RGB photo, as a DA-CLIP prepares its images before it normalises them:

    the short side resized (bicubic, antialiased), the centre cut out.
    """
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    image = to_tensor(to_float(photo))[None]
    resized = functional.resize(image, [size], InterpolationMode.BICUBIC, antialias=True)
    return functional.center_crop(resized, [size, size])[0].clamp(0, 1)


def _tell_of_wild(synthetic: SyntheticDegradations) -> None:
    if WILD not in synthetic.degradations:
        return
    files = {"psf": "camera PSFs", "display_psf": "under-display PSFs"}
    for path in filter(None, (getattr(synthetic.wild, key) for key in files)):
        load_psfs(path)
    absent = [
        f"{what} (synthetic.wild.{key})"
        for key, what in files.items()
        if not getattr(synthetic.wild, key)
    ]
    if absent:
        get_root_logger().info(
            f"wild degradations without {' and without '.join(absent)}: no file given"
        )
