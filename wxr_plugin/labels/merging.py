"""Merging of label stores, such as those of the shards of one set of photos.

Stores are read row by row in the order of keys, so any number of rows fits the memory. What equal
keys mean: the same image, content and provenance; for a pseudo-label the same image and iteration.
"""

import heapq
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from wxr_plugin.labels.base import SCHEMA, decoded
from wxr_plugin.labels.environment import LabelStoreError
from wxr_plugin.labels.pseudo import COMMITS, PSEUDO
from wxr_plugin.labels.rows import Answer, Failure, PseudoLabel, Rating
from wxr_plugin.labels.store import PROVENANCE, LabelStore

Prefer = Literal["first", "last"]
LISTED = 20
"""Number of conflicts that are listed; further ones are counted."""


class Conflict(msgspec.Struct):
    """Different answers under one key."""

    kind: str
    """rating, description, rewrite or pseudo."""
    image: str
    """Name of the photo or crop."""
    answers: dict[str, str]
    """Path of a store -> its answer in short."""

    def __str__(self) -> str:
        answers = [f"{store}: {answer}" for store, answer in self.answers.items()]
        return f"{self.kind} of {self.image}: {'; '.join(answers)}"


class Merged(msgspec.Struct):
    """Counts of a merge."""

    rows: dict[str, int]
    """Kind -> rows in the merged store: rating, description, rewrite, pseudo, provenance."""
    new: int = 0
    """Rows that the target did not have, or had otherwise."""
    conflicts: int = 0
    listed: list[Conflict] = msgspec.field(default_factory=list)
    """The first LISTED conflicts."""


class MergeConflictError(LabelStoreError):
    """Stores that disagree; nothing was written.

    Attributes:
        merged: the conflicts.
    """

    def __init__(self, target: Path, merged: Merged):
        self.merged = merged
        super().__init__(
            f"{target}: not written, {merged.conflicts} answers differ between the stores; first "
            f"{merged.listed[0]}; --prefer first or --prefer last takes one of them"
        )


class _Entry(NamedTuple):
    """A row of one store."""

    key: bytes
    place: int
    """Position of its store in the merge."""
    value: bytes


def merge_stores(
    sources: Sequence[str | os.PathLike],
    target: str | os.PathLike,
    prefer: Prefer | None = None,
) -> Merged:
    """Write the rows of all `sources` to the store `target`, and return their counts.

    Of equal answers the newest time is kept, and an answer replaces a failure. An existing `target`
    is extended: it counts as the first source, and all changes are one transaction. A new one
    appears when it is complete; until then it is in the same folder as .NAME.partial, which a later
    call removes. Merging again changes nothing.

    Args:
        sources: label stores, which stay as they are and may be in use.
        target: the store to write.
        prefer: of different answers, the one of the first or of the last store.

    Raises:
        MergeConflictError: answers differ, and `prefer` is None; nothing was written.
        LabelStoreError: no label store, a damaged row, or stores of two trainings.
    """
    target = Path(target)
    with ExitStack() as stack:
        stores = [stack.enter_context(LabelStore(path, readonly=True)) for path in sources]
        merged = Merged({})
        if target.exists():
            store = stack.enter_context(LabelStore(target))
            rows = _Merge([store, *stores], prefer, merged).changes(target)
            store.put_atomically(rows, sum(map(_room, stores)))
        else:
            with _new_store(target) as store:
                store.put_rows(_Merge(stores, prefer, merged).changes(target))
    return merged


def planned_merge(
    sources: Sequence[str | os.PathLike], target: str | os.PathLike, prefer: Prefer | None = None
) -> Merged:
    """Return the counts and conflicts of `merge_stores` without writing anything."""
    target = Path(target)
    paths = [target, *sources] if target.exists() else sources
    merged = Merged({})
    with ExitStack() as stack:
        stores = [stack.enter_context(LabelStore(path, readonly=True)) for path in paths]
        with suppress(MergeConflictError):
            for _ in _Merge(stores, prefer, merged).changes(target):
                pass
    return merged


@contextmanager
def _new_store(target: Path) -> Iterator[LabelStore]:
    """Yield a new store that becomes `target` at the end of the block, unless the block raises."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    if partial.exists():
        LabelStore(partial).close()  # refuses a store that another process is writing
        shutil.rmtree(partial)
    try:
        with LabelStore(partial) as store:
            yield store
        os.rename(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _room(store: LabelStore) -> int:
    # Pages of the new tree are filled to a half at worst.
    return 2 * (store.path / "data.mdb").stat().st_size


class _Merge:
    """One pass over the rows of `stores`."""

    def __init__(self, stores: Sequence[LabelStore], prefer: Prefer | None, merged: Merged):
        self.stores = stores
        self.prefer = prefer
        self.merged = merged
        self.kinds: Counter[str] = Counter()

    def changes(self, target: Path) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows that the store `target`, the first source if it is one, lacks.

        Raises:
            MergeConflictError: at the end, if answers differ that `prefer` does not decide.
        """
        first = self.stores[0] if self.stores[0].path == target else None
        streams = [self._entries(place) for place in range(len(self.stores))]
        for key, group in groupby(heapq.merge(*streams), key=itemgetter(0)):
            entries = list(group)
            value = self._value(key, entries)
            self.kinds[key.partition(b"/")[0].decode()] += 1
            if first and entries[0].place == 0 and entries[0].value == value:
                continue
            self.merged.new += 1
            # After a conflict nothing is stored any more; the rest is read for the other conflicts.
            if not self.merged.conflicts or self.prefer:
                yield key, value
        self.merged.rows = dict(sorted(self.kinds.items()))
        if self.merged.conflicts and not self.prefer:
            raise MergeConflictError(target, self.merged)

    def _entries(self, place: int) -> Iterator[_Entry]:
        for key, value in self.stores[place].rows():
            if key != SCHEMA:
                yield _Entry(key, place, bytes(value))

    def _value(self, key: bytes, entries: list[_Entry]) -> bytes:
        """Return the row of `key` in the merged store."""
        value = entries[0].value
        if key == COMMITS:
            return self._training(entries)
        if key.startswith(PROVENANCE):
            return self._provenance(entries)
        kind: Any = PseudoLabel if key.startswith(PSEUDO) else Answer
        rows = [decoded(entry.value, kind, self.stores[entry.place].path) for entry in entries]
        if all(entry.value == value for entry in entries):
            return value
        answers = [row for row in rows if not isinstance(row, Failure)]
        if not answers:
            return _encoded(_merged_failures(rows))
        places = [entry.place for entry, row in zip(entries, rows) if not isinstance(row, Failure)]
        if len({_same_part(row) for row in answers}) > 1:
            self._count_conflict(key, answers, places)
            answers = answers[-1:] if self.prefer == "last" else answers[:1]
        return _encoded(_newest(answers))

    def _training(self, entries: list[_Entry]) -> bytes:
        """Return the checkpoints of a training, of which only one may be in the merge."""
        if len({entry.value for entry in entries}) > 1:
            paths = " and ".join(str(self.stores[entry.place].path) for entry in entries)
            raise LabelStoreError(
                f"{paths} hold the pseudo-labels of different trainings; copy one with `wxr label "
                "init --from` first, and merge the copy"
            )
        return entries[0].value

    def _provenance(self, entries: list[_Entry]) -> bytes:
        if len({entry.value for entry in entries}) > 1:
            paths = " or ".join(str(self.stores[entry.place].path) for entry in entries)
            raise LabelStoreError(
                f"{paths}: a damaged provenance; save the sound rows with `wxr label rescue`"
            )
        return entries[0].value

    def _count_conflict(self, key: bytes, rows: list[Any], places: list[int]) -> None:
        self.merged.conflicts += 1
        if len(self.merged.listed) < LISTED:
            kind = key.partition(b"/")[0].decode()
            paths = [str(self.stores[place].path) for place in places]
            answers = dict(zip(paths, map(_in_short, rows)))
            self.merged.listed.append(Conflict(kind, rows[0].key, answers))


def _merged_failures(rows: Iterable[Failure]) -> Failure:
    """Return the newest failure with the largest number of attempts."""
    newest = max(rows, key=lambda row: (row.time, row.reason))
    attempts = max(row.attempts for row in rows)
    return msgspec.structs.replace(newest, attempts=attempts)


def _same_part(row: Any) -> bytes:
    """Return the part of an answer that must not differ: all but when and in which step it came."""
    if isinstance(row, PseudoLabel):
        # Equal pixels may be packed otherwise by another version of OpenCV.
        image = row.content or row.png
        return _encoded((row.rating, row.source, row.rater, image))
    if isinstance(row, Rating):
        row = msgspec.structs.replace(row, iteration=None)
    return _encoded(msgspec.structs.replace(row, time=0.0))


def _newest(rows: list[Any]) -> Any:
    """Return the newest of equal answers.

    A rating that a command made, without an iteration, is not removed with those of a training.
    """
    newest = max(rows, key=lambda row: (row.time, _encoded(row)))
    if not isinstance(newest, Rating):
        return newest
    iterations = [row.iteration for row in rows]
    iteration = None if None in iterations else min(iterations)
    return msgspec.structs.replace(newest, iteration=iteration)


def _in_short(row: Any) -> str:
    match row:
        case Rating():
            return f"{row.rating:.6g}"
        case PseudoLabel():
            return f"{row.source}, rated {row.rating:.6g}"
    return repr(row.text if len(row.text) <= 60 else f"{row.text[:59]}…")


def _encoded(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)
