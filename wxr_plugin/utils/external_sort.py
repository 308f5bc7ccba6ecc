"""Sorting of items that do not fit the memory."""

import heapq
import pickle
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import IO, Any, TypeVar

T = TypeVar("T", bound=tuple)

CHUNK = 50_000
"""Items that are sorted in memory at a time."""


def sorted_on_disk(items: Iterable[T], chunk: int = CHUNK) -> Iterator[T]:
    """Yield the tuples `items` in ascending order, with up to `chunk` of them in memory.

    Sorted chunks go to temporary files without a name, which vanish with the process.
    """
    with ExitStack() as stack:
        runs: list[Iterable[T]] = []
        for part in _parts(items, chunk):
            ordered = sorted(part)
            # The only chunk needs no file.
            if len(ordered) < chunk and not runs:
                yield from ordered
                return
            file = stack.enter_context(tempfile.TemporaryFile())
            _write(ordered, file)
            runs.append(_read(file))
        yield from heapq.merge(*runs)


def _parts(items: Iterable[T], chunk: int) -> Iterator[list[T]]:
    part: list[T] = []
    for item in items:
        part.append(item)
        if len(part) == chunk:
            yield part
            part = []
    if part:
        yield part


def _write(items: Iterable[Any], file: IO[bytes]) -> None:
    for item in items:
        pickle.dump(item, file, pickle.HIGHEST_PROTOCOL)
    file.seek(0)


def _read(file: IO[bytes]) -> Iterator[Any]:
    while True:
        try:
            yield pickle.load(file)
        except EOFError:
            return
