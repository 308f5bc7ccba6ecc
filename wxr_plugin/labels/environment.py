"""One LMDB environment for each process, with one writing process, growing on demand."""

import fcntl
import mmap
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import lmdb

from wxr_plugin.errors import WxrError
from wxr_plugin.labels.lmdb_pages import LmdbFile
from wxr_plugin.utils.lmdb_cache import refuse_cut

T = TypeVar("T")

Change = tuple[bytes, bytes | None]
"""A key and its new value; None removes it."""

FIRST_SIZE = 16 << 20
"""Bytes of address space that a new store reserves; doubled whenever it is full."""

_open: dict[str, "Environment"] = {}
"""Real path -> the environment of this process."""


class LabelStoreError(WxrError):
    """A label store that cannot be opened, read or written; the message says how to fix it."""


def rescue(path: str | os.PathLike) -> str:
    """Return how to recover from the damaged store `path`, for a message."""
    return f"restore a copy, or save the readable rows with `wxr label rescue {path} -o NEW`"


def damaged(path: str | os.PathLike, error: Exception) -> LabelStoreError:
    """Return the error of a store whose pages or rows are damaged."""
    return LabelStoreError(
        f"{path}: a damaged label store ({' '.join(str(error).split())}); {rescue(path)}"
    )


class Environment:
    """The LMDB of all label stores of this process that have the same path.

    LMDB commits a transaction to the disk as a whole or not at all, so a killed writer leaves every
    committed row. Each call of `read` sees one consistent state, even if another process writes
    meanwhile.
    """

    def __init__(self, path: str):
        self.path = path
        self.owner = os.getpid()
        self.users = 0
        self.writers = 0
        self._lock = threading.RLock()
        self._lock_file: int | None = None
        frozen = not os.access(path, os.W_OK)
        self._lmdb = lmdb.open(
            path,
            map_size=0,
            readonly=frozen,
            lock=not frozen,
            readahead=False,
            max_readers=1024,
        )
        try:
            refuse_cut(self._lmdb, path, rescue(path), lock=not frozen)
            self._refuse_damaged_pages()
        except WxrError as error:
            self._lmdb.close()
            raise LabelStoreError(str(error)) from error

    def _refuse_damaged_pages(self) -> None:
        """Raise if the header of a page is damaged: on such a page LMDB itself ends the process."""

        # The transaction keeps a writer from using these pages again meanwhile.
        def look(transaction: lmdb.Transaction) -> int | None:
            with open(os.path.join(self.path, "data.mdb"), "rb") as file:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            try:
                return LmdbFile(data).damaged_page()
            except ValueError:  # of a big-endian machine: LMDB has opened it
                return None

        number = self._read(look, buffers=False)
        if number is not None:
            raise damaged(self.path, ValueError(f"page {number}"))

    def read(self, look: Callable[[lmdb.Transaction], T], buffers: bool = False) -> T:
        """Call `look` with a read transaction and return its result.

        With `buffers` the transaction gives memoryviews, which are only valid inside `look`.

        Raises:
            LabelStoreError: pages of the store are damaged.
        """
        try:
            return self._read(look, buffers)
        except lmdb.Error as error:
            raise damaged(self.path, error) from error

    def _read(self, look: Callable[[lmdb.Transaction], T], buffers: bool) -> T:
        with self._lock:
            try:
                with self._lmdb.begin(buffers=buffers) as transaction:
                    return look(transaction)
            except lmdb.MapResizedError:  # another process has let the store grow
                self._lmdb.set_mapsize(0)
                with self._lmdb.begin(buffers=buffers) as transaction:
                    return look(transaction)

    def rows(self, prefix: bytes = b"") -> Iterator[tuple[bytes, memoryview]]:
        """Yield key and value of every row whose key starts with `prefix`, in order of keys.

        They are of one consistent state. A value is only valid until the next row.

        Raises:
            LabelStoreError: pages of the store are damaged.
        """
        try:
            # An empty transaction takes the size that another process has let the store grow to.
            self.read(lambda transaction: None)
            with self._lmdb.begin(buffers=True) as transaction, transaction.cursor() as cursor:
                cursor.set_range(prefix)
                for key, value in cursor.iternext():
                    key = bytes(key)
                    if not key.startswith(prefix):
                        return
                    yield key, value
        except lmdb.Error as error:
            raise damaged(self.path, error) from error

    def write_all(self, changes: Iterable[Change], room: int) -> None:
        """Make all `changes`, which may not fit the memory, in one transaction.

        `room` is the largest number of bytes that they may need.

        Raises:
            LabelStoreError: the disk is full or fails; nothing of this transaction is stored.
        """
        with self._lock:
            # Beforehand, since the size cannot change while the changes are read from this store.
            self._lmdb.set_mapsize(self._lmdb.info()["map_size"] + room + FIRST_SIZE)
            try:
                self._apply(changes)
            except lmdb.Error as error:
                raise self._unwritable(error) from error

    def write(self, changes: Sequence[Change]) -> None:
        """Make all `changes` in one transaction, on the disk when this returns.

        Raises:
            LabelStoreError: the disk is full or fails; nothing of this transaction is stored.
        """
        while changes:
            with self._lock:
                try:
                    self._apply(changes)
                    return
                except lmdb.MapFullError:  # nothing is stored yet; the next attempt has more room
                    self._lmdb.set_mapsize(max(2 * self._lmdb.info()["map_size"], FIRST_SIZE))
                except lmdb.MapResizedError:
                    self._lmdb.set_mapsize(0)
                except lmdb.Error as error:
                    raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> LabelStoreError:
        return LabelStoreError(
            f"{self.path}: cannot be written ({error}); is the disk full? Rows that were stored "
            "before are safe"
        )

    def _apply(self, changes: Iterable[Change]) -> None:
        with self._lmdb.begin(write=True) as transaction:
            for key, value in changes:
                if value is None:
                    transaction.delete(key)
                else:
                    transaction.put(key, value)

    def start_writing(self) -> None:
        """Become the one process that writes.

        The lock ends with the process, however that ends, so a killed writer never blocks the next
        one.

        Raises:
            LabelStoreError: another process is writing; the message gives its number.
        """
        self.writers += 1
        if self._lock_file is None:
            try:
                self._lock_file = _take(os.path.join(self.path, "writer.lock"))
            except BaseException:
                self.writers -= 1
                raise

    def stop_writing(self) -> None:
        """Let another process write, once the last writer of this one has stopped."""
        self.writers -= 1
        if not self.writers and self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def abandon(self) -> None:
        """Close an environment that was inherited by a fork."""
        self._lmdb.close()

    def close(self) -> None:
        """Release the environment; the last user closes it."""
        self.users -= 1
        if not self.users:
            self._lmdb.close()
            if _open.get(self.path) is self:
                del _open[self.path]


def open_environment(path: str | os.PathLike) -> Environment:
    """Return this process's environment of the LMDB folder `path`, created when there is none.

    py-lmdb refuses to open one twice in a process. A forked child must not use its parent's: the
    inherited one is closed in the child, which leaves the parent's as it is.

    Raises:
        lmdb.Error: the files there are not those of an LMDB, or damaged.
        LabelStoreError: data.mdb is cut short.
    """
    real = os.path.realpath(path)
    if real in _open and _open[real].owner != os.getpid():
        _open.pop(real).abandon()
    if real not in _open:
        _open[real] = Environment(real)
    _open[real].users += 1
    return _open[real]


def _take(file: str) -> int:
    """Lock `file` for this process and write the process number into it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        # A record lock, unlike flock, is not inherited by forked data-loading workers that outlive
        # a killed trainer.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(descriptor, 64).decode(errors="replace").strip()
        os.close(descriptor)
        raise LabelStoreError(
            f"{Path(file).parent}: process {holder or 'unknown'} is writing to this label store; "
            "wait for it to end, stop it, or give another store"
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()} on {os.uname().nodename}\n".encode())
    return descriptor
