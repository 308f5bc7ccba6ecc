"""Blocks inside the options of a file, which may be missing or of the wrong type."""

from collections.abc import Iterator, Mapping
from typing import Any

OptionMap = Mapping[str, Any]
"""Options of a file or of one of its blocks, keyed by name."""
Keys = tuple[str | int, ...]
"""Path to a value: `("train", "scheduler", "periods", 0)`."""


def block(opt: Any, *keys: str) -> OptionMap:
    """Return the block at the path `keys`, or an empty one if there is no block."""
    for key in keys:
        opt = opt.get(key) if isinstance(opt, Mapping) else None
    if not isinstance(opt, Mapping):
        return {}
    return opt


def integer(opt: Any, *keys: str) -> int | None:
    """Return the whole number at the path `keys`; None if there is no value of this type."""
    *path, name = keys
    value = block(opt, *path).get(name)
    if not isinstance(value, int):
        return None
    return value


def inner_blocks(keys: Keys, outer: OptionMap) -> Iterator[tuple[Keys, OptionMap]]:
    """Yield path and block of `outer`, whose path is `keys`, and of every block inside it."""
    yield keys, outer
    for key, value in outer.items():
        if isinstance(value, Mapping):
            yield from inner_blocks((*keys, key), value)


def dataset_blocks(opt: OptionMap) -> Iterator[tuple[str, OptionMap]]:
    """Yield the name and the block of each dataset; values that are not blocks are left out."""
    datasets = block(opt, "datasets")
    for name, dataset in datasets.items():
        if isinstance(dataset, Mapping):
            yield str(name), dataset


def phase_of(dataset: Any) -> str:
    """Return the phase of a dataset by its key: `val` for `val_2`."""
    key = str(dataset)
    return key.split("_")[0]


def dotted(keys: Keys) -> str:
    """Return `("train", "scheduler", "periods", 0)` as `train.scheduler.periods[0]`."""
    text = ""
    for key in keys:
        # Entries of lists have numbers.
        text += f"[{key}]" if isinstance(key, int) else f".{key}"
    return text.removeprefix(".")
