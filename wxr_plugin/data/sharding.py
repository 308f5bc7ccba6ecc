"""Shards of a list of photos: `--shard I/N` leaves one part of the work to each of N machines.

A photo's shard follows from its key alone (balance `name`), so adding photos moves none, and
machines need not see the same list. Shards of n photos differ by some sqrt(n / N) photos. The
balance `pixels` reads the size of every photo and gives the shards nearly equal numbers of pixels;
it needs the same list of photos on all machines.
"""

import hashlib
import heapq
import re
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from wxr_plugin.errors import WxrError

Balance = Literal["name", "pixels"]


class Shard(NamedTuple):
    """One of `count` shards."""

    number: int
    """From 1 to `count`."""
    count: int
    balance: Balance = "name"

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def read_shard(text: str, balance: Balance = "name") -> Shard:
    """Return the shard that `text`, such as 1/4, names.

    Raises:
        WxrError: `text` is not I/N with 1 <= I <= N.
    """
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise WxrError(f"--shard {text}: write I/N with I from 1 to N, such as 1/4 to 4/4")
    return Shard(number, count, balance)


def shard_keys(
    keys: Iterable[str], shard: Shard, pixels: Callable[[str], int | None]
) -> frozenset[str]:
    """Return the keys of `shard`; the order and repetitions of `keys` do not matter.

    `pixels(key)` returns the pixels of a photo, None if unknown. It is called for the balance
    `pixels` only.
    """
    if shard.balance == "name":
        return frozenset(key for key in keys if _number_of(key, shard.count) == shard.number)
    sizes = {key: pixels(key) or 0 for key in keys}
    return frozenset(_balanced(sizes, shard))


def _number_of(key: str, count: int) -> int:
    """Return the number, from 1 to `count`, of the shard that holds `key` by its name."""
    digest = hashlib.blake2b(key.encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count + 1


def _balanced(sizes: dict[str, int], shard: Shard) -> list[str]:
    """Return the keys of `shard`, where each photo, the largest first, joins the least full."""
    fullness = [(0, 0, number) for number in range(1, shard.count + 1)]
    keys = []
    for key in sorted(sizes, key=lambda key: (-sizes[key], key)):
        # Photos without a size are dealt out by their number, the second item.
        pixels, photos, number = fullness[0]
        heapq.heapreplace(fullness, (pixels + sizes[key], photos + 1, number))
        if number == shard.number:
            keys.append(key)
    return keys
