"""Read-only LMDB environments, one for each file and process, shared by everything that reads."""

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
    """Environment of the LMDB folder `path`, opened for reading on the first call in this process.

    py-lmdb refuses to open one environment twice in a process, and a forked child must not go on
    with its parent's: the one inherited is closed in the child, which leaves the parent's as it is.
    A folder that was built anew since (another data file) is opened anew. `options` of the first
    call count; locks and read-ahead are off by default.

    Raises:
        lmdb.Error: there is no LMDB, or it is open for writing in this process.
        CutDatabaseError: data.mdb is cut short.
    """
    real = os.path.realpath(path)
    owner, inode, opened = _environments.get(real, (0, 0, None))
    current = _inode(real)
    if opened is not None and owner == os.getpid() and inode == current:
        return opened
    if opened is not None:
        opened.close()
        del _environments[real]
    opened = lmdb.open(real, **{"readonly": True, "lock": False, "readahead": False} | options)
    try:
        refuse_cut(opened, path)
    except CutDatabaseError:
        opened.close()
        raise
    _environments[real] = (os.getpid(), current, opened)
    return opened


class CutDatabaseError(WxrError):
    """A data.mdb that lacks its end, as after a copy that was stopped; reading beyond it would kill the process."""


def refuse_cut(
    opened: lmdb.Environment,
    folder: str | os.PathLike,
    fix: str = "copy or build it again",
    lock: bool = False,
) -> None:
    """Raise CutDatabaseError if data.mdb in `folder` lacks pages that its own tables name; the message ends with `fix`.

    LMDB may leave its last pages unwritten when a transaction freed them, so a short file alone
    proves nothing: another process then reads every page in use, and ends by SIGBUS where one is
    missing. `lock` if others may be writing.
    """
    needed = (opened.info()["last_pgno"] + 1) * opened.stat()["psize"]
    size = (Path(folder) / "data.mdb").stat().st_size
    if size < needed and not _every_page_is_there(folder, lock):
        raise CutDatabaseError(f"{folder}: data.mdb is cut short ({size} of {needed} bytes); {fix}")


def _every_page_is_there(folder: str | os.PathLike, lock: bool) -> bool:
    command = [sys.executable, "-c", _WALK, os.fspath(folder), str(int(lock))]
    return (
        subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    )


def forget(path: str | os.PathLike) -> None:
    """Close the environment of `path`, if this process has it open; needed before writing to it."""
    _, _, opened = _environments.pop(os.path.realpath(path), (0, 0, None))
    if opened is not None:
        opened.close()


class LazyEnvironment:
    """Stands for an LMDB environment and opens it when it is used, in whatever process that is; can be pickled."""

    def __init__(self, path: str | os.PathLike, **options: Any):
        self.path = os.fspath(path)
        self.options = options

    def begin(self, *args: Any, **kwargs: Any) -> lmdb.Transaction:
        """A transaction of this process's environment; arguments as for `lmdb.Environment.begin`."""
        return environment(self.path, **self.options).begin(*args, **kwargs)


def _inode(folder: str) -> int:
    try:
        return os.stat(os.path.join(folder, "data.mdb")).st_ino
    except OSError:
        return 0
