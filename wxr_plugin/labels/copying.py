"""A label store as the start of another training: its newest pseudo-labels, and everything that was answered."""

import os
import shutil
from pathlib import Path

import msgspec

from wxr_plugin.labels.base import CHUNK, SCHEMA, decoded
from wxr_plugin.labels.pseudo import COMMITS, PSEUDO
from wxr_plugin.labels.rows import PseudoLabel, pseudo_row
from wxr_plugin.labels.store import LabelStore, LabelStoreError


def copy_store(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Write the store `target` from the store `source`, which stays as it is and may be in use.

    Ratings, descriptions, rewrites and failures are kept; of each pseudo-label the newest version
    is, as one of iteration 0, so that a new training starts from it; which checkpoints the old
    training had is forgotten. `target` appears when it is whole: until then it lies beside it as
    .NAME.partial, which a later call begins anew.

    Raises:
        LabelStoreError: `source` is no label store, `target` exists, or another process is copying
            to it.
    """
    target = Path(target)
    if target.exists():
        raise LabelStoreError(
            f"{target}: exists already; give another name, or leave out what it is to be copied "
            f"from"
        )
    partial = target.with_name(f".{target.name}.partial")
    with LabelStore(source, readonly=True) as old:
        _begin_anew(partial)
        with LabelStore(partial) as new:
            _Copy(new, old.path).run(old)
    os.rename(partial, target)


class _Copy:
    """Rows on their way to `new`, a chunk at a time."""

    def __init__(self, new: LabelStore, source: Path):
        self.new, self.source, self.chunk, self.size = new, source, [], 0
        self.newest: tuple[bytes, bytes] = b"", b""

    def run(self, old: LabelStore) -> None:
        old.each_row(self.take)
        self.add_newest()
        self.new.put_rows(self.chunk)

    def take(self, key: bytes, value: memoryview) -> None:
        if key.startswith(PSEUDO):
            if key.rpartition(b"/")[0] != self.newest[0].rpartition(b"/")[0]:
                self.add_newest()
            self.newest = (
                key,
                bytes(value),
            )  # versions of one image come in the order of their iterations
        elif key not in (COMMITS, SCHEMA):
            self.add(key, bytes(value))

    def add_newest(self) -> None:
        if self.newest[0]:
            label = decoded(self.newest[1], PseudoLabel, self.source)
            self.add(*pseudo_row(msgspec.structs.replace(label, iteration=0)))
        self.newest = b"", b""

    def add(self, key: bytes, value: bytes) -> None:
        self.chunk.append((key, value))
        self.size += len(value)
        if self.size > CHUNK:
            self.new.put_rows(self.chunk)
            self.chunk, self.size = [], 0


def _begin_anew(partial: Path) -> None:
    if partial.exists():
        LabelStore(partial).close()  # refuses what another process is writing
        shutil.rmtree(partial)
