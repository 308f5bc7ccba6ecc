"""Read-only LMDB environments, one per file and process, shared by all readers."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lmdb

from wxr_plugin.errors import WxrError

_WALK = """
import lmdb, os, sys
environment = lmdb.open(sys.argv[1], readonly=True, lock=bool(int(sys.argv[2])), max_readers=1024)
with environment.begin() as transaction:
    for key, value in transaction.cursor():  # copies every value
        pass
environment.copyfd(os.open(os.devnull, os.O_WRONLY), compact=True)  # reads the list of free pages
"""

_environments: dict[str, tuple[int, int, lmdb.Environment]] = {}


def environment(path: str | os.PathLike, **options: Any) -> lmdb.Environment:
    """Return the environment of the LMDB folder `path`, opened for reading on the first call.

    py-lmdb refuses to open an environment twice in a process, and a forked child must not use the
    environment of its parent: the child closes the inherited one, which does not affect the parent.
    A folder that was rebuilt in the meantime (another data file) is opened again. The `options` of
    the first call count; locks and read-ahead are off by default.

    Raises:
        lmdb.Error: there is no LMDB, or it is open for writing in this process.
        CutDatabaseError: data.mdb is truncated.
    """
    real = os.path.realpath(path)
    owner, inode, opened = _environments.get(real, (0, 0, None))
    current = _inode(real)
    if opened is not None and owner == os.getpid() and inode == current:
        return opened
    # Inherited by a fork, or the data file was replaced.
    if opened is not None:
        opened.close()
        del _environments[real]
    defaults = {"readonly": True, "lock": False, "readahead": False}
    opened = lmdb.open(real, **defaults | options)
    try:
        refuse_cut(opened, path)
    except CutDatabaseError:
        opened.close()
        raise
    _environments[real] = (os.getpid(), current, opened)
    return opened


class CutDatabaseError(WxrError):
    """A data.mdb without its end, as after an interrupted copy.

    Reading beyond the end would kill the process.
    """


def refuse_cut(
    opened: lmdb.Environment,
    folder: str | os.PathLike,
    fix: str = "copy or build it again",
    lock: bool = False,
) -> None:
    """Raise CutDatabaseError if data.mdb in `folder` lacks pages that its own tables name.

    LMDB may leave its last pages unwritten when a transaction freed them, so a short file alone
    proves nothing: another process then reads every page in use, and dies of SIGBUS where a page is
    missing.

    Args:
        opened: the environment of `folder`.
        folder: the folder with data.mdb.
        fix: end of the message.
        lock: take LMDB's lock, for a database that others may be writing to.
    """
    pages = opened.info()["last_pgno"] + 1  # numbered from 0
    needed = pages * opened.stat()["psize"]  # bytes
    size = (Path(folder) / "data.mdb").stat().st_size
    if size < needed and not _every_page_is_there(folder, lock):
        raise CutDatabaseError(f"{folder}: data.mdb is cut short ({size} of {needed} bytes); {fix}")


def _every_page_is_there(folder: str | os.PathLike, lock: bool) -> bool:
    arguments = [os.fspath(folder), str(int(lock))]
    done = subprocess.run(
        [sys.executable, "-c", _WALK, *arguments],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return done.returncode == 0


def forget(path: str | os.PathLike) -> None:
    """Close the environment of `path` if this process has it open, as writing to it requires."""
    _, _, opened = _environments.pop(os.path.realpath(path), (0, 0, None))
    if opened is not None:
        opened.close()


class LazyEnvironment:
    """Proxy of an LMDB environment that opens it on use, in any process; it can be pickled."""

    def __init__(self, path: str | os.PathLike, **options: Any):
        self.path = os.fspath(path)
        self.options = options

    def begin(self, *args: Any, **kwargs: Any) -> lmdb.Transaction:
        """Return a transaction; the arguments are those of `lmdb.Environment.begin`."""
        return environment(self.path, **self.options).begin(*args, **kwargs)


def _inode(folder: str) -> int:
    try:
        return os.stat(os.path.join(folder, "data.mdb")).st_ino
    except OSError:
        return 0
