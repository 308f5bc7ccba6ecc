"""Opening of a label store: its schema, its one writer, and changes in one transaction."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import lmdb
import msgspec

from wxr_plugin.labels.environment import (
    Change,
    Environment,
    LabelStoreError,
    damaged,
    open_environment,
    rescue,
)
from wxr_plugin.labels.rows import READABLE_VERSIONS, SCHEMA_VERSION

SCHEMA = b"schema"

T = TypeVar("T")

CHUNK = 32 << 20
"""Bytes that `put_rows` stores in one transaction."""


class StoreBase:
    """An LMDB with a schema row; `store.LabelStore` documents its contents."""

    def __init__(self, path: str | os.PathLike, readonly: bool = False):
        self.path = Path(path)
        self.readonly = readonly
        # Changes of the current `batch`; None outside of one.
        self._pending: list[Change] | None = None
        self._environment: Environment | None = None
        _check_folder(self.path, readonly)
        self._environment = _open(self.path)
        try:
            self._start()
        except BaseException:
            self._environment.close()
            self._environment = None
            raise

    def close(self) -> None:
        """Close the store; it cannot be used again."""
        if self._environment is None:
            return
        if not self.readonly:
            self._environment.stop_writing()
        self._environment.close()  # another store of this process may still use it
        self._environment = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Store the changes of the block atomically at its end, or not at all if the block raises.

        Until then the store's getters do not see them.
        """
        if self._pending is not None:
            raise RuntimeError("a batch inside a batch")
        self._pending = []
        try:
            yield
            self._own().write(self._pending)
        finally:
            self._pending = None

    def each_row(self, take: Callable[[bytes, memoryview], None]) -> None:
        """Call `take` with key and value of every row, in order of keys, from one consistent state.

        A value is only valid until `take` returns.
        """

        def look(transaction: lmdb.Transaction) -> None:
            for key, value in transaction.cursor():
                take(bytes(key), value)

        self._own().read(look, buffers=True)

    def rows(self, prefix: bytes = b"") -> Iterator[tuple[bytes, memoryview]]:
        """Yield key and value of every row whose key starts with `prefix`, in order of keys.

        They are of one consistent state. A value is only valid until the next row.
        """
        return self._own().rows(prefix)

    def put_atomically(self, rows: Iterable[Change], room: int) -> None:
        """Store rows as they are, all or none; they may not fit the memory.

        `room` is the largest number of bytes that they may need.
        """
        if self.readonly:
            raise LabelStoreError(f"{self.path}: opened for reading only")
        self._own().write_all(rows, room)

    def put_rows(self, rows: Iterable[Change]) -> None:
        """Store rows as they are, in transactions of some CHUNK bytes.

        All of them may not fit the memory.
        """
        chunk: list[Change] = []
        size = 0
        for key, value in rows:
            chunk.append((key, value))
            size += len(value or b"")
            if size > CHUNK:
                self._write(chunk)
                chunk = []
                size = 0
        self._write(chunk)

    def _start(self) -> None:
        if not self.readonly:
            self._own().start_writing()
        try:
            schema = self._get(SCHEMA)
            current = msgspec.msgpack.encode({"wxr_labels": SCHEMA_VERSION})
            # A writer that is just starting, or was killed then, leaves an LMDB without any row: an
            # empty store.
            if schema is not None or self._keys(b""):
                _check_schema(self.path, schema)
            if not self.readonly and schema != current:
                self._write([(SCHEMA, current)])
        except BaseException:
            if not self.readonly:
                self._own().stop_writing()
            raise

    def _own(self) -> Environment:
        """Return the environment, which has to be open and of this process."""
        if self._environment is None:
            raise LabelStoreError(f"{self.path}: this label store was closed")
        if self._environment.owner != os.getpid():
            raise LabelStoreError(
                f"{self.path}: opened by the parent process; open the store again in this process"
            )
        return self._environment

    def _write(self, changes: Sequence[Change]) -> None:
        if self.readonly:
            raise LabelStoreError(f"{self.path}: opened for reading only")
        if self._pending is None:
            self._own().write(changes)
        else:
            self._pending.extend(changes)

    def _decoded(self, row: bytes | memoryview, kind: type[T]) -> T:
        """Decode a row as `kind`. Raises LabelStoreError if its bits have changed."""
        return decoded(row, kind, self.path)

    def _get(self, key: bytes) -> bytes | None:
        return self._own().read(lambda transaction: transaction.get(key))

    def _last(self, prefix: bytes) -> bytes | None:
        return self._own().read(lambda transaction: _last_below(transaction, prefix))

    def _keys(self, prefix: bytes) -> list[bytes]:
        return self._own().read(
            lambda transaction: [key for key, _ in _below(transaction, prefix, values=False)]
        )

    def _items(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        return self._own().read(lambda transaction: list(_below(transaction, prefix)))


def _below(
    transaction: lmdb.Transaction, prefix: bytes, values: bool = True
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the rows whose key starts with `prefix`, in order; without `values` these are empty."""
    with transaction.cursor() as cursor:
        cursor.set_range(prefix)
        for key in cursor.iternext(keys=True, values=False):
            if not key.startswith(prefix):
                return
            yield key, cursor.value() if values else b""


def _last_below(transaction: lmdb.Transaction, prefix: bytes) -> bytes | None:
    """Return the value of the last row whose key starts with `prefix`, or None."""
    with transaction.cursor() as cursor:
        # Keys are ASCII, so 0xff sorts behind all of them: one step back is the last of the prefix.
        has_row = cursor.prev() if cursor.set_range(prefix + b"\xff") else cursor.last()
        return cursor.value() if has_row and cursor.key().startswith(prefix) else None


def decoded(row: bytes | memoryview, kind: type[T], path: Path) -> T:
    """Decode a row of the store `path` as `kind`.

    Raises LabelStoreError if its bits have changed.
    """
    try:
        return msgspec.msgpack.decode(row, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise damaged(path, error) from error


def _check_folder(path: Path, readonly: bool) -> None:
    """Refuse a folder that is not a store, before LMDB puts its files there."""
    if (path / "data.mdb").is_file():
        _refuse_emptied(path)
        return
    if readonly:
        raise LabelStoreError(
            f"{path}: no label store here; `wxr label rate FOLDER -o {path}` makes one"
        )
    is_foreign = path.exists() and not path.is_dir()
    if path.is_dir():
        is_foreign = any(file.name not in _OWN_FILES for file in path.iterdir())
    if is_foreign:
        raise LabelStoreError(f"{path}: exists and is not a label store; give another name")
    path.mkdir(parents=True, exist_ok=True)


def _refuse_emptied(path: Path) -> None:
    """Refuse a data.mdb of 0 bytes in a folder that was a store.

    A writer that was killed while it made a store leaves such a file too, which is fine. LMDB makes
    lock.mdb before data.mdb, and the first writer makes writer.lock after it.
    """
    is_new = (path / "lock.mdb").exists() and not (path / "writer.lock").exists()
    if not (path / "data.mdb").stat().st_size and not is_new:
        raise LabelStoreError(
            f"{path}: data.mdb is empty, and no row is left; restore a copy, or delete the folder "
            "for a new store"
        )


_OWN_FILES = {"data.mdb", "lock.mdb", "writer.lock"}


def _open(path: Path) -> Environment:
    try:
        return open_environment(path)
    except lmdb.Error as error:
        raise LabelStoreError(
            f"{path}: cannot be opened as a label store ({error}); {rescue(path)}"
        ) from error


def _check_schema(path: Path, schema: bytes | None) -> None:
    try:
        version: Any = msgspec.msgpack.decode(schema or b"").get("wxr_labels")
    except (msgspec.DecodeError, AttributeError):
        version = None
    if version is None:
        raise LabelStoreError(f"{path}: an LMDB, but not a label store; give another name")
    if version not in READABLE_VERSIONS:
        readable = " and ".join(map(str, READABLE_VERSIONS))
        raise LabelStoreError(
            f"{path}: a label store of schema version {version}, and this wxr_plugin reads "
            f"versions {readable}; use the wxr_plugin that wrote it, or label into a new store. "
            "Nothing in it was changed"
        )
