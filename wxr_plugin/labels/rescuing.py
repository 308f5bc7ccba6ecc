"""Saving what can still be read of a damaged label store: one that was cut short, or whose bits have changed."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import lmdb
import msgspec

from wxr_plugin.data.image_io import BadImageError, read_image
from wxr_plugin.labels.base import SCHEMA
from wxr_plugin.labels.environment import LabelStoreError
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

    A row is sound if it decodes, if its key is the one that its content has, and, for a pseudo-label, if its image
    decodes. LMDB keeps no checksums, so a changed digit inside a rating is not seen. `source` must not be in use.

    Raises:
        LabelStoreError: `source` is no LMDB or its first pages are damaged, `target` exists, or no row is sound.
    """
    source, target = Path(source), Path(target)
    if not (source / "data.mdb").is_file():
        raise LabelStoreError(f"{source}: no label store here")
    if target.exists():
        raise LabelStoreError(f"{target}: exists already; give another name")
    partial, copy = (target.with_name(f".{target.name}.{word}") for word in ("partial", "copy"))
    for left_over in (partial, copy):
        shutil.rmtree(left_over, ignore_errors=True)
    try:
        rescued = _rescue(_padded_copy(source, copy), partial, source)
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    os.rename(partial, target)
    return rescued


def _rescue(environment: lmdb.Environment, partial: Path, source: Path) -> Rescued:
    kept: Counter[str] = Counter()

    def sound() -> Iterator[tuple[bytes, bytes]]:
        for key, value in readable_rows(transaction):
            if key != SCHEMA and is_sound(key, value):
                kept[key.partition(b"/")[0].decode()] += 1
                yield key, value

    with environment, environment.begin() as transaction:
        with LabelStore(partial) as store:
            store.put_rows(sound())
        rows = transaction.stat()["entries"] - 1
    if not kept:
        shutil.rmtree(partial)
        raise LabelStoreError(f"{source}: no row can be read; put a copy back, or label into a new store")
    return Rescued(dict(kept), rows)


def _padded_copy(source: Path, copy: Path) -> lmdb.Environment:
    """Open a copy of the store, zeros standing for the pages that it lacks: to read beyond a file kills the process."""
    copy.mkdir(parents=True)
    shutil.copyfile(source / "data.mdb", copy / "data.mdb")
    try:
        environment = lmdb.open(str(copy), readonly=True, lock=False)
    except lmdb.Error as error:
        raise LabelStoreError(f"{source}: cannot be opened ({error}), so nothing can be rescued") from error
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if (copy / "data.mdb").stat().st_size < needed:
        os.truncate(copy / "data.mdb", needed)
    return environment


def readable_rows(transaction: lmdb.Transaction) -> Iterator[tuple[bytes, bytes]]:
    """Yield every (key, value) that LMDB can read; pages that it cannot read are passed over."""
    start: bytes | None = b""
    while start is not None:
        last = start
        try:
            with transaction.cursor() as cursor:
                for key, value in cursor.iternext() if cursor.set_range(start) else ():
                    last = key
                    yield key, value
            return
        except lmdb.Error:
            start = _beyond_damage(transaction, last)
        yield from _before(transaction, start, last)


def _beyond_damage(transaction: lmdb.Transaction, last: bytes) -> bytes | None:
    """Return a key after `last` that LMDB finds; None if there is none. Keys are tried in order, ever farther apart."""
    for length in range(len(last), -1, -1):
        first = last[length] + 1 if length < len(last) else 0
        for byte in range(first, 256):
            try:
                with transaction.cursor() as cursor:
                    return cursor.key() if cursor.set_range(last[:length] + bytes([byte])) else None
            except lmdb.Error:
                continue
    return None


def _before(transaction: lmdb.Transaction, end: bytes | None, last: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the rows before `end` (from the last row when None), back to the damage or to `last`, both exclusive."""
    try:
        with transaction.cursor() as cursor:
            there = cursor.last() if end is None else cursor.set_key(end) and cursor.prev()
            for key, value in cursor.iterprev() if there else ():
                if key <= last:
                    return
                yield key, value
    except lmdb.Error:
        return


def is_sound(key: bytes, value: bytes) -> bool:
    """Return whether a row decodes and is the one that its key names."""
    try:
        if key == COMMITS:
            return bool(msgspec.msgpack.decode(value, type=list[int]))
        if key.startswith(PROVENANCE):
            return provenance_hash(msgspec.json.decode(value)) == key.removeprefix(PROVENANCE).decode()
        if key.startswith(PSEUDO):
            label = msgspec.msgpack.decode(value, type=PseudoLabel)
            read_image(label.png)
            return pseudo_row(label)[0] == key
        answer = msgspec.msgpack.decode(value, type=Answer)
        return answer_key(key.partition(b"/")[0].decode(), answer.key, answer.content, answer.provenance) == key
    except (msgspec.DecodeError, UnicodeDecodeError, BadImageError):
        return False
