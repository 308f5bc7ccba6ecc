"""Official layout of the ten degradations: `<root>/{train,val}/<degradation>/{LQ,GT}`.

Each LQ and GT is a folder or an LMDB.
"""

import re
from collections.abc import Collection
from os import PathLike
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.data.images.store import ImageStore
from wxr_plugin.errors import OptionError

SPLITS = ("train", "val")
SIDES = ("LQ", "GT")


class Pairs(NamedTuple):
    """Pairs of one degradation: two stores, and the keys (lq, gt) in the order of the names."""

    lq: ImageStore
    gt: ImageStore
    keys: list[tuple[str, str]]


def words_in(folder: str | PathLike) -> list[str]:
    """Return the degradations with a sub-folder in `folder`, a split, in DEGRADATIONS' order."""
    return [word for word in DEGRADATIONS if Path(folder, word).is_dir()]


def split_of(root: str | PathLike, split: str) -> Path:
    """Return `<root>/<split>`.

    Raises:
        OptionError: it does not exist or has no degradation in it.
    """
    folder = Path(root).expanduser() / split
    if words_in(folder):
        return folder
    fault = "no such folder"
    if folder.is_dir():
        fault = f"no folder of a degradation ({', '.join(DEGRADATIONS)})"
    raise OptionError(
        f"{folder}: {fault}; the layout is {root}/{{train,val}}/<degradation>/{{LQ,GT}}"
    )


def side_of(folder: str | PathLike, side: str) -> Path:
    """Return `<folder>/LQ` or `GT`, or the LMDB of that name, which takes precedence.

    Raises:
        OptionError: neither exists.
    """
    path = _side(folder, side)
    if path is None:
        raise OptionError(
            f"{folder}: neither {side} nor {side}.lmdb in it; put the images of that side there"
        )
    return path


def gt_folders(root: str | PathLike, split: str, words: Collection[str] = ()) -> list[Path]:
    """Return the existing ground-truth folders and LMDBs below `<root>/<split>`.

    They are those of `words`, or of all degradations if it is empty.
    """
    folder = Path(root).expanduser() / split
    folders = []
    for word in words_in(folder):
        gt = _side(folder / word, "GT")
        is_chosen = not words or word in words
        if is_chosen and gt is not None:
            folders.append(gt)
    return folders


def read_pairs(folder: str | PathLike, check_names: bool = True, cache: bool = False) -> Pairs:
    """Read the pairs below `folder`, that of a degradation.

    Raises:
        WxrError: a side is missing or empty, the sides differ in number, or (`check_names`) two
            names do not fit.
    """
    lq, gt = (ImageStore(side_of(folder, side), cache) for side in SIDES)
    return Pairs(lq, gt, paired(lq, gt, check_names))


def paired(lq: ImageStore, gt: ImageStore, check_names: bool = True) -> list[tuple[str, str]]:
    """Pair the keys of two stores in the order of their file names, as the authors do.

    Raises:
        OptionError: unequal numbers, or names that cannot belong together: otherwise a shift by one
            would remain undetected.
    """
    lq_keys = sorted(lq.keys(), key=_as_file_name)
    gt_keys = sorted(gt.keys(), key=_as_file_name)
    if len(lq_keys) != len(gt_keys):
        surplus = _surplus(lq_keys, gt_keys)
        raise OptionError(
            f"{lq.root} holds {len(lq_keys)} images and {gt.root} {len(gt_keys)}{surplus}; "
            "give each image its partner"
        )
    pairs = list(zip(lq_keys, gt_keys))
    for lq_key, gt_key in pairs:
        if check_names and not names_fit(lq_key, gt_key):
            raise OptionError(
                f"{lq.path(lq_key)} would be paired with {gt.path(gt_key)}: sorted, {lq.root} and "
                f"{gt.root} do not pair; "
                "rename the files, or set check_names: false if they are right"
            )
    return pairs


def names_fit(lq_key: str, gt_key: str) -> bool:
    """Return whether two keys may name one scene.

    They need the same numbers in the same order, of which either may have more (`7_rain` or
    `1_3_0.9` and `7` or `1`); if one has no numbers, a common word.
    """
    lq_numbers = _numbers(lq_key)
    gt_numbers = _numbers(gt_key)
    if lq_numbers and gt_numbers:
        short, long = sorted((lq_numbers, gt_numbers), key=len)
        # `in` consumes the iterator, so this tests for a subsequence.
        rest = iter(long)
        return all(number in rest for number in short)
    lq_words = _words(lq_key)
    gt_words = _words(gt_key)
    # A name of digits and signs alone has no word to compare, so it fits any.
    return bool(lq_words & gt_words) or not lq_words or not gt_words


def _numbers(key: str) -> list[int]:
    name = unquote(key)
    return [int(digits) for digits in re.findall(r"\d+", name)]


def _words(key: str) -> set[str]:
    name = unquote(key).lower()
    return set(re.findall(r"[^\W\d_]+", name))


def _side(folder: str | PathLike, side: str) -> Path | None:
    for path in (Path(folder, f"{side}.lmdb"), Path(folder, side)):
        if path.is_dir():
            return path
    return None


def _as_file_name(key: str) -> str:
    """Return a text that sorts like the file name: the suffix matters only by its dot."""
    return unquote(key) + "."


def _surplus(lq_keys: list[str], gt_keys: list[str]) -> str:
    """Return examples of keys that only one side has; empty if the sides are named differently."""
    alone = sorted(set(lq_keys) ^ set(gt_keys))
    count = max(len(lq_keys), len(gt_keys))
    if len(alone) >= count:
        return ""
    examples = ", ".join(alone[:3])
    return f" (one side alone has {examples})"
