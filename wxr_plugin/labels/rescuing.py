"""Saving what can still be read of a damaged label store: one that was cut short, or whose bits have changed."""

import mmap
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from wxr_plugin.data.images.io import BadImageError, read_image
from wxr_plugin.labels.base import SCHEMA
from wxr_plugin.labels.environment import LabelStoreError
from wxr_plugin.labels.lmdb_pages import LmdbFile
from wxr_plugin.labels.pseudo import COMMITS, PSEUDO
from wxr_plugin.labels.rows import Answer, PseudoLabel, answer_key, provenance_hash, pseudo_row
from wxr_plugin.labels.store import LabelStore

PROVENANCE = b"provenance/"


class Rescued(msgspec.Struct):
    """What `rescue_store` did."""

    kept: dict[str, int]
    """Rows in the new store, by kind: rating, description, rewrite, pseudo, provenance."""
    rows: int
    """Rows that the old store says it has, its own schema aside."""

    @property
    def lost(self) -> int:
        """Rows that could not be read, or that do not hold what their key says."""
        return self.rows - sum(self.kept.values())

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kept.items())) or "none"
        return f"rescued {self.rows - self.lost} of {self.rows} rows ({kinds}), lost {self.lost}"


def rescue_store(source: str | os.PathLike, target: str | os.PathLike) -> Rescued:
    """Write every sound row of the label store `source` to a new store `target`; `source` stays as it is.

    A row is sound if it decodes, if its key is the one that its content has, and, for a
    pseudo-label, if its image decodes. LMDB keeps no checksums, so a changed digit inside a rating
    is not seen. `source` must not be in use.

    Raises:
        LabelStoreError: `source` is no LMDB or both of its meta pages are damaged, `target` exists,
            or no row is sound.
    """
    source, target = Path(source), Path(target)
    if not (source / "data.mdb").is_file():
        raise LabelStoreError(f"{source}: no label store here")
    if target.exists():
        raise LabelStoreError(f"{target}: exists already; give another name")
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        rescued = _rescue(source, partial)
        os.rename(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return rescued


def _rescue(source: Path, partial: Path) -> Rescued:
    kept: Counter[str] = Counter()

    def sound(old: LmdbFile) -> Iterator[tuple[bytes, bytes]]:
        for key, value in old.rows():
            if key != SCHEMA and is_sound(key, value):
                kept[key.partition(b"/")[0].decode()] += 1
                yield key, value

    with (source / "data.mdb").open("rb") as file:
        try:
            old = LmdbFile(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except ValueError as error:  # of an empty file too
            raise LabelStoreError(
                f"{source}: no row can be read ({error}); put a copy back"
            ) from error
        with LabelStore(partial) as store:
            store.put_rows(sound(old))
    if not kept:
        raise LabelStoreError(
            f"{source}: no row can be read; put a copy back, or label into a new store"
        )
    return Rescued(dict(kept), old.entries - 1)


def is_sound(key: bytes, value: bytes) -> bool:
    """Return whether a row decodes and is the one that its key names."""
    try:
        if key == COMMITS:
            return bool(msgspec.msgpack.decode(value, type=list[int]))
        if key.startswith(PROVENANCE):
            return (
                provenance_hash(msgspec.json.decode(value)) == key.removeprefix(PROVENANCE).decode()
            )
        if key.startswith(PSEUDO):
            label = msgspec.msgpack.decode(value, type=PseudoLabel)
            read_image(label.png)
            return pseudo_row(label)[0] == key
        answer = msgspec.msgpack.decode(value, type=Answer)
        return (
            answer_key(
                key.partition(b"/")[0].decode(), answer.key, answer.content, answer.provenance
            )
            == key
        )
    except (msgspec.DecodeError, UnicodeDecodeError, BadImageError):
        return False
