"""Pairs of DA-CLIP's ten degradations: in the official layout, drawn on clean photos, or both."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from basicsr.utils import get_root_logger
from basicsr.utils.registry import DATASET_REGISTRY

from wxr_plugin.data.crops import Turn, augmented, random_box, to_float, to_tensor
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
from wxr_plugin.data.images.store import ImageStore
from wxr_plugin.data.weather_dataset import (
    Item,
    WeatherDataset,
    open_store,
    refuse_unequal_sizes,
)
from wxr_plugin.errors import OptionError


class _Entry(NamedTuple):
    """A pair, or a clean photo if `lq` is None."""

    gt: ImageStore
    gt_key: str
    lq: ImageStore | None = None
    lq_key: str = ""


@DATASET_REGISTRY.register()
class DegradationDataset(WeatherDataset):
    """Dataset of pairs of DA-CLIP's ten degradations and of the wild one.

    An item has lq and gt, float32 RGB (3, H, W) in [0, 1]; lq_path and gt_path; degradation, one of
    DEGRADATIONS or "wild". With guide_size it also has lq_guide, all of the degraded photo as input
    of a guide, and lq_guide_key, its name.

    In training, items are crops of gt_size, all degradations equally often: the index modulo their
    number selects the degradation, and its image is drawn at random. Otherwise they are every pair
    in order, whole, then every clean photo with every synthetic degradation, which depends on the
    photo's name alone. The lq_path of a synthetic image is not a file, but
    <dataroot_gt>/<degradation>/<photo>, so that results have different names.

    Raises:
        WxrError: roots hold no images or do not pair; options contradict each other.
    """

    Options = DegradationOptions

    def __init__(self, opt: dict[str, Any]):
        super().__init__(opt)
        options = self.options
        check_options(opt.get("name"), options, self.training)
        self.entries: list[_Entry] = []
        numbers: dict[str, list[int]] = {}
        if options.dataroot:
            for word, pairs in self._pairs(opt).items():
                numbers[word] = self._add(pairs)
        if options.synthetic:
            clean = open_store(opt, options.dataroot_gt, options.cache)
            entries = [_Entry(clean, key) for key in sorted(clean.keys())]
            clean_numbers = self._add(entries)
            for word in options.synthetic.degradations:
                numbers[word] = numbers.get(word, []) + clean_numbers
            _log_missing_psfs(options.synthetic)
        words = [word for word in (*DEGRADATIONS, WILD) if word in numbers]
        self.groups = [(word, numbers[word]) for word in words]
        self.order = [(word, number) for word in words for number in numbers[word]]
        photos = [(entry.gt, entry.gt_key) for entry in self.entries]
        # These photos have no weather: one class for all, and `draw` balances the degradations.
        self.use(photos, [0] * len(photos))

    @staticmethod
    def gt_roots(block: Mapping[str, Any], training: bool) -> list[Path]:
        """Return the existing ground-truth roots of a block's pairs, for the check of leaks."""
        root = block.get("dataroot")
        if not isinstance(root, str):
            return []
        words = block.get("degradations")
        if not isinstance(words, list):
            words = ()
        split = _split(block.get("split"), training)
        return gt_folders(root, str(split), words)

    def __len__(self) -> int:
        """Return the number of items.

        In training the number of degradations times the images of the largest; otherwise that of
        the pairs and of the synthetic images.
        """
        if not self.training:
            return len(self.order)
        largest = max(len(group) for _, group in self.groups)
        return len(self.groups) * largest

    def draw(self, index: int, rng: np.random.Generator) -> Item:
        """Return the sample at `index`.

        In training, photo, crop, turn and degradation are drawn from `rng`; validation items do not
        depend on it.
        """
        choice = self._choice(rng)
        number, (gt, lq) = self.quota.first_good(index, choice, rng, self._read)
        # `choice.word` is now the degradation of the photo that was read, not of one before it.
        word = choice.word
        item = {
            "lq_path": self._lq_path(number, word),
            "gt_path": self.path(number),
        }
        if self.training:
            if self.options.guide_size:
                # Before the crop: the guide sees the whole photo.
                item["lq_guide"] = guide_view(lq, self.options.guide_size)
                item["lq_guide_key"] = item["lq_path"]
            gt, lq = self._augment((gt, lq), rng)
        else:
            rng = rng_of(word, self.entries[number].gt_key)
        if lq is None:
            gt, lq = self._degrade(gt, word, rng)
        return {
            "lq": to_tensor(lq),
            "gt": to_tensor(gt),
            "degradation": word,
            **item,
        }

    def _choice(self, rng: np.random.Generator) -> Balanced | InOrder:
        if self.training:
            return Balanced(self.groups, len(self), rng)
        return InOrder(self.order)

    def _add(self, entries: list[_Entry]) -> list[int]:
        """Append to `entries`, and return the numbers of the new ones."""
        first = len(self.entries)
        self.entries += entries
        return list(range(first, len(self.entries)))

    def _pairs(self, opt: dict[str, Any]) -> dict[str, list[_Entry]]:
        """Return degradation -> its pairs in the chosen split of dataroot."""
        options = self.options
        split = _split(options.split, self.training)
        folder = split_of(options.dataroot, split)
        available = words_in(folder)
        words = options.degradations or available
        missing = [word for word in words if word not in available]
        if missing:
            raise OptionError(
                f"dataset {opt.get('name')}: {folder} has no {', no '.join(missing)}, but "
                f"{', '.join(available)}"
            )
        pairs = {}
        for word in words:
            lq, gt, keys = read_pairs(folder / word, options.check_names, options.cache)
            pairs[word] = [_Entry(gt, gt_key, lq, lq_key) for lq_key, gt_key in keys]
        return pairs

    def _read(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        entry = self.entries[number]
        gt = entry.gt.read(entry.gt_key)
        if entry.lq is None:
            return gt, None
        lq = entry.lq.read(entry.lq_key)
        refuse_unequal_sizes(lq, gt, entry.lq.path(entry.lq_key))
        return gt, lq

    def _augment(
        self,
        images: Sequence[np.ndarray | None],
        rng: np.random.Generator,
    ) -> list[np.ndarray | None]:
        """Apply one box and one turn to both images, while they still have 8 bits."""
        options = self.options
        height, width = images[0].shape[:2]
        box = random_box(height, width, options.gt_size, rng)
        turn = Turn.draw(rng, options.use_hflip, options.use_rot)
        return augmented(images, box, options.gt_size, turn)

    def _degrade(
        self,
        gt: np.ndarray,
        word: str,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return gt and a degraded version of it; the wild pipeline makes some gt grey."""
        synthetic = self.options.synthetic
        if word == WILD:
            gt = wild_clean(gt, rng)
            lq = wild_degrade(to_float(gt), rng, synthetic.wild)
            return gt, lq
        low, high = synthetic.range_of(word)
        severity = rng.uniform(low, high)
        lq = degrade(to_float(gt), word, severity, rng)
        return gt, lq

    def _lq_path(self, number: int, word: str) -> str:
        entry = self.entries[number]
        if entry.lq:
            return entry.lq.path(entry.lq_key)
        root = Path(self.options.dataroot_gt).expanduser()
        name = Path(self.path(number)).relative_to(root)
        return str(root / word / name)


def _split(split: str | None, training: bool) -> str:
    if split:
        return split
    return "train" if training else "val"


def guide_view(photo: np.ndarray, size: int) -> torch.Tensor:
    """Return a uint8 RGB photo (H, W, 3) as input of a DA-CLIP: (3, size, size) in [0, 1].

    The short side is resized (bicubic, antialiased) and the centre cut out, as before DA-CLIP's
    normalisation.
    """
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    image = to_tensor(to_float(photo))
    batch = image[None]
    resized = functional.resize(batch, [size], InterpolationMode.BICUBIC, antialias=True)
    centre = functional.center_crop(resized, [size, size])
    # Bicubic interpolation overshoots [0, 1].
    return centre[0].clamp(0, 1)


def _log_missing_psfs(synthetic: SyntheticDegradations) -> None:
    """Load the PSF files of the wild pipeline, so that a bad one raises now; log missing ones."""
    if WILD not in synthetic.degradations:
        return
    missing = []
    for key, name in {"psf": "camera PSFs", "display_psf": "under-display PSFs"}.items():
        path = getattr(synthetic.wild, key)
        if path:
            load_psfs(path)
        else:
            missing.append(f"{name} (synthetic.wild.{key})")
    if missing:
        without = " and without ".join(missing)
        get_root_logger().info(f"wild degradations without {without}: no file given")
