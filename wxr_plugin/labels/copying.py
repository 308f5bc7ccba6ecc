"""A label store as the start of another training: its newest pseudo-labels, and all answers."""

import os
import shutil
from pathlib import Path

import msgspec

from wxr_plugin.labels.base import CHUNK, SCHEMA, decoded
from wxr_plugin.labels.pseudo import COMMITS, PSEUDO, RATINGS
from wxr_plugin.labels.rows import Answer, PseudoLabel, Rating, pseudo_row
from wxr_plugin.labels.store import LabelStore, LabelStoreError


def copy_store(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Write the store `target` from the store `source`, which stays as it is and may be in use.

    Ratings, descriptions, rewrites and failures are copied; of each pseudo-label the newest version
    is, as one of iteration 0, so that a new training starts from it; the checkpoints of the old
    training are forgotten. `target` appears when it is complete: until then it is in the same
    folder as .NAME.partial, which a later call removes and starts over.

    Raises:
        LabelStoreError: `source` is not a label store, `target` exists, or another process is
            copying to it.
    """
    target = Path(target)
    if target.exists():
        raise LabelStoreError(
            f"{target}: exists already; give another name, or leave out the store to copy from"
        )
    partial = target.with_name(f".{target.name}.partial")
    with LabelStore(source, readonly=True) as old:
        _remove(partial)
        with LabelStore(partial) as new:
            _Copy(new, old.path).run(old)
    os.rename(partial, target)


class _Copy:
    """Copies rows to the store `new`, a chunk at a time: all of them may not fit the memory."""

    def __init__(self, new: LabelStore, source: Path):
        self.new = new
        self.source = source
        self.chunk: list[tuple[bytes, bytes]] = []
        self.size = 0
        # Key and value of the newest version so far of the pseudo-label that is being read.
        self.newest: tuple[bytes, bytes] | None = None

    def run(self, old: LabelStore) -> None:
        old.each_row(self.take)
        self.add_newest()
        self.new.put_rows(self.chunk)

    def take(self, key: bytes, value: memoryview) -> None:
        if key.startswith(PSEUDO):
            if self.newest and _image(key) != _image(self.newest[0]):
                self.add_newest()
            # Versions of one image come in the order of their iterations.
            self.newest = key, bytes(value)
        elif key.startswith(RATINGS):
            self.add(key, self.rating(value))
        elif key not in (COMMITS, SCHEMA):
            self.add(key, bytes(value))

    def add_newest(self) -> None:
        if self.newest:
            label = decoded(self.newest[1], PseudoLabel, self.source)
            self.add(*pseudo_row(msgspec.structs.replace(label, iteration=0)))
        self.newest = None

    def rating(self, value: memoryview) -> bytes:
        """Return the row without its iteration, which is none of the new training's."""
        row = decoded(value, Answer, self.source)
        if isinstance(row, Rating) and row.iteration is not None:
            return msgspec.msgpack.encode(msgspec.structs.replace(row, iteration=None))
        return bytes(value)

    def add(self, key: bytes, value: bytes) -> None:
        self.chunk.append((key, value))
        self.size += len(value)
        if self.size > CHUNK:
            self.new.put_rows(self.chunk)
            self.chunk = []
            self.size = 0


def _image(key: bytes) -> bytes:
    return key.rpartition(b"/")[0]


def _remove(partial: Path) -> None:
    if partial.exists():
        LabelStore(partial).close()  # refuses a store that another process is writing
        shutil.rmtree(partial)
