"""Sizes of training images, read from their headers: pairs that differ, photos below the crop, too few for a batch."""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from wxr_plugin.data.choice import ClassIndex, weather_of
from wxr_plugin.data.images.io import image_size
from wxr_plugin.data.images.store import read_meta_info
from wxr_plugin.errors import WxrError
from wxr_plugin.options.checks.components import registered
from wxr_plugin.options.checks.report import Keys, Report
from wxr_plugin.options.checks.sets import PATH_KEYS, file_names, listed_pairs, lq_name, some

MOST = 5000
"""Pairs of a set whose headers are read; of more, as many that are spread evenly over the set."""
CROPPING = ("PairedImageDataset", "RealESRGANPairedDataset")
"""Sets of BasicSR that end the training at a pair of unequal sizes or a photo smaller than the crop."""
Size = tuple[int, int]
"""Width and height in pixels."""


class Pair(NamedTuple):
    """One pair with the sizes that its headers name; None where they cannot be read."""

    gt: str
    lq: str
    gt_size: Size | None
    lq_size: Size | None


def check_sizes(report: Report, opt: Mapping[str, Any]) -> None:
    """Check the training set of `opt`, if its class has known pairs and nothing else is wrong with the set."""
    keys = ("datasets", "train")
    block = (
        (opt.get("datasets") or {}).get("train")
        if isinstance(opt.get("datasets"), Mapping)
        else None
    )
    faulty = any(problem.key.startswith(("datasets.train", "scale")) for problem in report.problems)
    if not report.is_train or not isinstance(block, Mapping) or faulty:
        return
    cls = registered("dataset").get(str(block.get("type")))
    try:
        names = _names(cls, block)
        pairs = _measured(block, names[:: math.ceil(len(names) / MOST)]) if names else []
    except (WxrError, OSError, ValueError):
        return  # check_sets reports what cannot be listed
    if names:
        _check_batch(report, keys, block, _length(cls, [gt for gt, _ in names]))
        _check_pairs(report, keys, block, cls.__name__, pairs, opt)


def _check_batch(report: Report, keys: Keys, block: Mapping[str, Any], count: int) -> None:
    """Report a set that does not fill one batch of a process; the loader drops incomplete batches."""
    ratio, batch = block.get("dataset_enlarge_ratio", 1), block.get("batch_size_per_gpu")
    if not isinstance(ratio, int | float) or not isinstance(batch, int):
        return
    processes = int(os.environ.get("WORLD_SIZE") or 1)
    share = math.ceil(count * ratio / processes)
    if 0 < share < batch:
        what = f"{batch}, but the set has {count} images" + (
            f" for {processes} processes" if processes > 1 else ""
        )
        fix = f"use {share} or less, or raise dataset_enlarge_ratio to {math.ceil(batch * processes / count)}"
        report.add((*keys, "batch_size_per_gpu"), f"{what}, which fill no batch", fix)


def _check_pairs(
    report: Report,
    keys: Keys,
    block: Mapping[str, Any],
    kind: str,
    pairs: list[Pair],
    opt: Mapping[str, Any],
) -> None:
    scale = opt.get(
        "scale", block.get("scale")
    )  # BasicSR copies the file's scale into its datasets
    scale = scale if isinstance(scale, int) else 1
    read = [pair for pair in pairs if pair.gt_size and pair.lq_size]
    unequal = [
        pair for pair in read if pair.gt_size != (pair.lq_size[0] * scale, pair.lq_size[1] * scale)
    ]
    skips = (
        kind not in CROPPING
    )  # PairedWeatherDataset passes over a few, and fills small photos up
    if len(unequal) > (block.get("max_bad", 10) if skips else 0):
        factor = f" times {scale}" if scale > 1 else ""
        what = f"{len(unequal)} of {len(pairs)} pairs differ in size{factor}: {some(list(map(_unequal, unequal)))}"
        other = (
            ""
            if skips or scale > 1
            else ", or use type: PairedWeatherDataset, which skips a few such pairs"
        )
        report.add((*keys, "dataroot_lq"), what, f"make both images of a pair equal in size{other}")
    crop = block.get("gt_size")
    if skips or not isinstance(crop, int):
        return
    small = [pair for pair in read if min(pair.gt_size) < crop and pair not in unequal]
    if small:
        shown = some([f"{pair.gt} ({_text(pair.gt_size)})" for pair in small])
        largest = min(min(pair.gt_size) for pair in small)
        other = "" if scale > 1 else ", or use type: PairedWeatherDataset, which fills them up"
        what = f"{len(small)} of {len(pairs)} photos are smaller than the crop of {crop} pixels: {shown}"
        report.add(
            (*keys, "gt_size"),
            what,
            f"use {largest - largest % scale} or less, take them out{other}",
        )


def _names(cls: type | None, block: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the names of ground truth and photo below their roots, for each pair; [] for sets of other classes."""
    if cls is None or not all(
        isinstance(block.get(key), str) for key in ("dataroot_gt", "dataroot_lq")
    ):
        return []
    if hasattr(cls, "pair_names"):
        return cls.pair_names(block)
    is_stock = cls.__name__ in CROPPING and cls.__module__.startswith("basicsr.")
    return list(_stock_names(block, _root(block, "gt"))) if is_stock else []


def _stock_names(block: Mapping[str, Any], gt: Path) -> Iterator[tuple[str, str]]:
    listing = next(
        (Path(block[key]).expanduser() for key in PATH_KEYS if isinstance(block.get(key), str)),
        None,
    )
    if gt.suffix == ".lmdb":
        yield from ((key, key) for key in read_meta_info(gt))
    elif listing:
        yield from listed_pairs(listing, block)
    else:
        yield from ((name, lq_name(name, block)) for name in file_names(gt))


def _length(cls: type, names: list[str]) -> int:
    """Return how many samples a set has; sets that balance weathers go through the smaller ones again."""
    balances = cls.__name__ not in CROPPING
    return len(ClassIndex([weather_of(name) for name in names], balanced=balances))


def _measured(block: Mapping[str, Any], names: list[tuple[str, str]]) -> list[Pair]:
    """Return the pairs with their sizes, those of an LMDB from its meta_info.txt."""
    roots = _root(block, "gt"), _root(block, "lq")
    gt_size, lq_size = (_reader(root) for root in roots)
    return [Pair(gt, lq, gt_size(gt), lq_size(lq)) for gt, lq in names]


def _reader(root: Path) -> Callable[[str], Size | None]:
    if root.suffix != ".lmdb":
        return lambda name: image_size(root / name)
    shapes = read_meta_info(root)
    return lambda key: shapes[key][1::-1] if key in shapes else None


def _root(block: Mapping[str, Any], kind: str) -> Path:
    return Path(block[f"dataroot_{kind}"]).expanduser()


def _unequal(pair: Pair) -> str:
    return f"{pair.lq} is {_text(pair.lq_size)}, its ground truth {pair.gt} {_text(pair.gt_size)}"


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
