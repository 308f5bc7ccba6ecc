"""The official layout of the ten degradations, `<root>/{train,val}/<degradation>/{LQ,GT}`, folders or LMDBs."""

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
    """The pairs of one degradation: two stores, and the keys (lq, gt) in the order of the names."""

    lq: ImageStore
    gt: ImageStore
    keys: list[tuple[str, str]]


def words_in(folder: str | PathLike) -> list[str]:
    """The degradations that `folder`, a split of the layout, has a sub-folder for, in the order of DEGRADATIONS."""
    return [word for word in DEGRADATIONS if Path(folder, word).is_dir()]


def split_of(root: str | PathLike, split: str) -> Path:
    """`<root>/<split>`. Raises OptionError where it is not there or has no degradation in it."""
    folder = Path(root).expanduser() / split
    if not words_in(folder):
        what = (
            "no such folder"
            if not folder.is_dir()
            else f"no folder of a degradation ({', '.join(DEGRADATIONS)})"
        )
        raise OptionError(
            f"{folder}: {what}; the layout is {root}/{{train,val}}/<degradation>/{{LQ,GT}}"
        )
    return folder


def side_of(folder: str | PathLike, side: str) -> Path:
    """`<folder>/LQ` or `GT`, or the LMDB of that name, which goes first.

    Raises OptionError where neither is there.
    """
    found = _side(folder, side)
    if found is None:
        raise OptionError(
            f"{folder}: neither {side} nor {side}.lmdb in it; put the images of that side there"
        )
    return found


def gt_folders(root: str | PathLike, split: str, words: Collection[str] = ()) -> list[Path]:
    """The ground truth below `<root>/<split>`, folders and LMDBs, of `words` or of all degradations; what is there."""
    folder = Path(root).expanduser() / split
    found = (
        _side(folder / word, "GT") for word in words_in(folder) if word in (words or DEGRADATIONS)
    )
    return [path for path in found if path is not None]


def read_pairs(folder: str | PathLike, check_names: bool = True, cache: bool = False) -> Pairs:
    """The pairs below `folder`, that of a degradation.

    Raises:
        WxrError: a side is missing or empty, the sides differ in number, or (`check_names`) two
            names do not fit.
    """
    lq, gt = (ImageStore(side_of(folder, side), cache) for side in SIDES)
    return Pairs(lq, gt, paired(lq, gt, check_names))


def paired(lq: ImageStore, gt: ImageStore, check_names: bool = True) -> list[tuple[str, str]]:
    """The keys of two stores, one by one in the order of their file names, as the authors pair theirs.

    Raises:
        OptionError: unequal numbers, or names that cannot belong together: a shift by one would go
            unnoticed else.
    """
    sides = [sorted(store.keys(), key=_as_file_name) for store in (lq, gt)]
    if len(sides[0]) != len(sides[1]):
        raise OptionError(
            f"{lq.root} holds {len(sides[0])} images and {gt.root} "
            f"{len(sides[1])}{_surplus(*sides)}; "
            "give each image its partner"
        )
    pairs = list(zip(*sides))
    odd = next((pair for pair in pairs if check_names and not names_fit(*pair)), None)
    if odd:
        raise OptionError(
            f"{lq.path(odd[0])} comes to lie beside {gt.path(odd[1])}: sorted, {lq.root} and "
            f"{gt.root} do not pair; "
            "rename the files, or set check_names: false if they are right"
        )
    return pairs


def names_fit(one: str, other: str) -> bool:
    """Whether two keys may name one scene.

    The same numbers in the same order, of which either may have more (`7_rain` or `1_3_0.9` and `7`
    or `1`); where one has no numbers, a word that both have.
    """
    numbers = [[int(number) for number in re.findall(r"\d+", unquote(key))] for key in (one, other)]
    if all(numbers):
        short, long = sorted(numbers, key=len)
        rest = iter(long)
        return all(number in rest for number in short)
    words = [set(re.findall(r"[^\W\d_]+", unquote(key).lower())) for key in (one, other)]
    return bool(words[0] & words[1]) or not all(words)


def _side(folder: str | PathLike, side: str) -> Path | None:
    return next(
        (path for path in (Path(folder, f"{side}.lmdb"), Path(folder, side)) if path.is_dir()), None
    )


def _as_file_name(key: str) -> str:
    """What sorts as the file does: with its suffix, of which only the dot counts."""
    return unquote(key) + "."


def _surplus(lq: list[str], gt: list[str]) -> str:
    """Examples of what one side alone has, where the names are the same."""
    alone = sorted(set(lq) ^ set(gt))
    return (
        f" (one side alone has {', '.join(alone[:3])})"
        if len(alone) < max(len(lq), len(gt))
        else ""
    )
