"""Check the sizes of training images, which are read from their headers.

Reported are pairs that differ in size, photos below the crop, and sets too small for one batch.
"""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from wxr_plugin.data.choice import ClassIndex, weather_of
from wxr_plugin.data.images.io import image_size
from wxr_plugin.data.images.store import read_meta_info
from wxr_plugin.errors import WxrError
from wxr_plugin.options.checks.components import class_of, package_of
from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.checks.sets import file_names, listed_pairs, listing_of, lq_name
from wxr_plugin.options.nested import Keys, OptionMap, block
from wxr_plugin.utils.wording import listed

MOST = 5000
"""Pairs of a set whose headers are read; of a larger set, this many spread evenly over it."""
CROPPING = ("PairedImageDataset", "RealESRGANPairedDataset")
"""Datasets of BasicSR that stop the training at an unequal pair or a photo below the crop."""
Size = tuple[int, int]
"""Width and height in pixels."""


class Pair(NamedTuple):
    """One pair with the sizes in its headers; None if they cannot be read."""

    gt: str
    lq: str
    gt_size: Size | None
    lq_size: Size | None


def check_sizes(report: Report, opt: OptionMap) -> None:
    """Check the training set of `opt`, if its class has known pairs and no other problems."""
    keys = ("datasets", "train")
    dataset = block(opt, *keys)
    if not report.is_train or not dataset:
        return
    # Other checks report what keeps the images from being read.
    faulty_keys = [problem.key for problem in report.problems]
    if any(key.startswith(("datasets.train", "scale")) for key in faulty_keys):
        return
    cls = class_of("dataset", dataset)
    try:
        names = _names(cls, dataset)
        if not names:
            return
        step = math.ceil(len(names) / MOST)
        pairs = _measured(dataset, names[::step])
    except (WxrError, OSError, ValueError):
        return  # check_sets reports what cannot be listed
    count = _length(cls, [gt for gt, _ in names])
    _check_batch(report, keys, dataset, count)
    _check_pairs(report, keys, dataset, cls.__name__, pairs, opt)


def _check_batch(report: Report, keys: Keys, dataset: OptionMap, count: int) -> None:
    """Report a set that does not fill one batch of a process: incomplete batches are dropped."""
    ratio = dataset.get("dataset_enlarge_ratio", 1)
    batch = dataset.get("batch_size_per_gpu")
    if not isinstance(ratio, int | float):
        return
    if not isinstance(batch, int):
        return
    processes = int(os.environ.get("WORLD_SIZE") or 1)
    # BasicSR's sampler gives every process the same number of samples.
    share = math.ceil(count * ratio / processes)
    if share == 0 or share >= batch:
        return
    among = f" for {processes} processes" if processes > 1 else ""
    fault = f"{batch}, but the set has {count} images{among}, which fill no batch"
    enough = math.ceil(batch * processes / count)
    fix = f"use {share} or less, or raise dataset_enlarge_ratio to {enough}"
    report.add((*keys, "batch_size_per_gpu"), fault, fix)


def _check_pairs(
    report: Report,
    keys: Keys,
    dataset: OptionMap,
    kind: str,
    pairs: list[Pair],
    opt: OptionMap,
) -> None:
    """Report pairs that differ in size, and photos below the crop."""
    """Report pairs that differ in size, and photos below the crop."""
    # BasicSR copies the file's scale into its datasets.
    scale = opt.get("scale", dataset.get("scale"))
    scale = scale if isinstance(scale, int) else 1
    # PairedWeatherDataset skips some such pairs, and pads small photos.
    is_tolerant = kind not in CROPPING
    has_alternative = not is_tolerant and scale == 1
    unequal, equal = [], []
    for pair in pairs:
        if pair.gt_size and pair.lq_size:
            if pair.gt_size == _times(pair.lq_size, scale):
                equal.append(pair)
            else:
                unequal.append(pair)
    most = dataset.get("max_bad", 10) if is_tolerant else 0
    if len(unequal) > most:
        factor = f" times {scale}" if scale > 1 else ""
        examples = listed([_unequal(pair) for pair in unequal])
        fault = f"{len(unequal)} of {len(pairs)} pairs differ in size{factor}: {examples}"
        fix = "make both images of a pair equal in size"
        if has_alternative:
            fix += ", or use type: PairedWeatherDataset, which skips a few such pairs"
        report.add((*keys, "dataroot_lq"), fault, fix)
    crop = dataset.get("gt_size")
    if is_tolerant or not isinstance(crop, int):
        return
    small = [pair for pair in equal if min(pair.gt_size) < crop]
    if small:
        fault = f"{len(small)} of {len(pairs)} photos are smaller than the crop of {crop} pixels"
        fix = _crop_fix(small, scale, has_alternative)
        examples = listed([f"{pair.gt} ({_text(pair.gt_size)})" for pair in small])
        report.add((*keys, "gt_size"), f"{fault}: {examples}", fix)


def _crop_fix(small: list[Pair], scale: int, has_alternative: bool) -> str:
    """Return how to correct a crop that is larger than the photos `small`."""
    side = min(min(pair.gt_size) for pair in small)
    # The crop of lq has whole pixels only if that of gt is a multiple of the scale.
    largest = side - side % scale
    fix = f"use {largest} or less, take them out"
    if has_alternative:
        fix += ", or use type: PairedWeatherDataset, which pads them"
    return fix


def _names(cls: type | None, dataset: OptionMap) -> list[tuple[str, str]]:
    """Return the names of gt and lq below their roots for each pair; [] for unknown classes."""
    gt, lq = dataset.get("dataroot_gt"), dataset.get("dataroot_lq")
    has_roots = isinstance(gt, str) and isinstance(lq, str)
    if cls is None or not has_roots:
        return []
    # Datasets of this package and of plug-ins know their own pairs.
    if hasattr(cls, "pair_names"):
        return cls.pair_names(dataset)
    is_stock = cls.__name__ in CROPPING and package_of(cls) == "basicsr"
    if not is_stock:
        return []
    root = _root(dataset, "gt")
    return list(_stock_names(dataset, root))


def _stock_names(dataset: OptionMap, gt: Path) -> Iterator[tuple[str, str]]:
    """Yield the names of gt and lq of each pair, as PairedImageDataset of BasicSR finds them."""
    listing = listing_of(dataset)
    if gt.suffix == ".lmdb":
        # Both images of a pair have the same key.
        for key in read_meta_info(gt):
            yield key, key
    elif listing:
        yield from listed_pairs(listing, dataset)
    else:
        for name in file_names(gt):
            yield name, lq_name(name, dataset)


def _length(cls: type, names: list[str]) -> int:
    """Return the number of samples of a set; sets that balance weathers repeat the rarer ones."""
    is_balanced = cls.__name__ not in CROPPING
    weathers = [weather_of(name) for name in names]
    index = ClassIndex(weathers, balanced=is_balanced)
    return len(index)


def _measured(dataset: OptionMap, names: list[tuple[str, str]]) -> list[Pair]:
    """Return the pairs with their sizes, those of an LMDB from its meta_info.txt."""
    size_of_gt = _reader(_root(dataset, "gt"))
    size_of_lq = _reader(_root(dataset, "lq"))
    pairs = []
    for gt, lq in names:
        pair = Pair(gt, lq, size_of_gt(gt), size_of_lq(lq))
        pairs.append(pair)
    return pairs


def _reader(root: Path) -> Callable[[str], Size | None]:
    """Return a function that returns the size of an image of `root` by its name or key."""
    if root.suffix != ".lmdb":
        return lambda name: image_size(root / name)
    shapes = read_meta_info(root)

    def size_of(key: str) -> Size | None:
        if key not in shapes:
            return None
        height, width, _ = shapes[key]
        return width, height

    return size_of


def _root(dataset: OptionMap, kind: str) -> Path:
    root = Path(dataset[f"dataroot_{kind}"])
    return root.expanduser()


def _times(size: Size, factor: int) -> Size:
    width, height = size
    return width * factor, height * factor


def _unequal(pair: Pair) -> str:
    lq_size = _text(pair.lq_size)
    gt_size = _text(pair.gt_size)
    return f"{pair.lq} is {lq_size}, its ground truth {pair.gt} {gt_size}"


def _text(size: Size) -> str:
    width, height = size
    return f"{width}x{height}"
