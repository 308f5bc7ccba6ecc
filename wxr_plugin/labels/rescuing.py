"""Rescue of the readable rows of a damaged label store, cut short or with changed bits."""

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
from wxr_plugin.labels.store import PROVENANCE, LabelStore


class Rescued(msgspec.Struct):
    """Counts of `rescue_store`."""

    kinds: dict[str, int]
    """Kind -> rows in the new store; rating, description, rewrite, pseudo, provenance."""
    rows: int
    """Rows that the old store should have, without its schema."""

    @property
    def lost(self) -> int:
        """Rows that could not be read, or whose content does not fit their key."""
        return self.rows - sum(self.kinds.values())

    def __str__(self) -> str:
        rescued = self.rows - self.lost
        counts = [f"{count} {kind}" for kind, count in sorted(self.kinds.items())]
        kinds = ", ".join(counts) or "none"
        return f"rescued {rescued} of {self.rows} rows ({kinds}), lost {self.lost}"


def rescue_store(source: str | os.PathLike, target: str | os.PathLike) -> Rescued:
    """Write every sound row of the label store `source` to a new store `target`.

    `source` stays as it is and must not be in use. A row is sound if it decodes, if its key is the
    one that its content has, and, for a pseudo-label, if its image decodes. LMDB keeps no
    checksums, so a changed digit inside a rating is not detected.

    Raises:
        LabelStoreError: `source` is not an LMDB or both of its meta pages are damaged, `target`
            exists, or no row is sound.
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
    kinds: Counter[str] = Counter()

    def sound(old: LmdbFile) -> Iterator[tuple[bytes, bytes]]:
        for key, value in old.rows():
            if key != SCHEMA and is_sound(key, value):
                kinds[key.partition(b"/")[0].decode()] += 1
                yield key, value

    with (source / "data.mdb").open("rb") as file:
        try:
            old = LmdbFile(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except ValueError as error:  # of an empty file too
            raise LabelStoreError(
                f"{source}: no row can be read ({error}); restore a copy"
            ) from error
        with LabelStore(partial) as store:
            store.put_rows(sound(old))
    if not kinds:
        raise LabelStoreError(
            f"{source}: no row can be read; restore a copy, or label into a new store"
        )
    return Rescued(dict(kinds), old.entries - 1)  # without the schema's row


def is_sound(key: bytes, value: bytes) -> bool:
    """Return whether a row decodes and its content has this key."""
    try:
        if key == COMMITS:
            return bool(msgspec.msgpack.decode(value, type=list[int]))
        if key.startswith(PROVENANCE):
            digest = key.removeprefix(PROVENANCE).decode()
            return provenance_hash(msgspec.json.decode(value)) == digest
        if key.startswith(PSEUDO):
            label = msgspec.msgpack.decode(value, type=PseudoLabel)
            read_image(label.png)  # raises if the image is damaged
            return pseudo_row(label)[0] == key
        answer = msgspec.msgpack.decode(value, type=Answer)
        kind = key.partition(b"/")[0].decode()
        return answer_key(kind, answer.key, answer.content, answer.provenance) == key
    except (msgspec.DecodeError, UnicodeDecodeError, BadImageError):
        return False
