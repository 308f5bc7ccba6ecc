"""Atomic writing of files: a crash never leaves half a file under the final name."""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from wxr_plugin.errors import WxrError


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Yield a binary file that replaces `path` when the block ends without an error.

    The bytes go to a temporary file in the same folder, which is flushed to the disk and renamed.
    After an error the temporary file is removed and `path` is unchanged.
    """
    path = Path(path)
    # os.replace would name the temporary file, which the user does not know.
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    # The prefix is short: most file systems limit names to 255 bytes, also the temporary one.
    descriptor, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp"
    )
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp grants access to the owner only
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        # An error of `write`, such as a full disk, names no file.
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(path)
        raise


def check_file(path: str | os.PathLike) -> None:
    """Raise WxrError if the file `path` cannot be written, as far as that is known before.

    For commands whose work takes long.
    """
    if Path(path).is_dir():
        raise WxrError(f"{path}: a folder; name a file")
    check_parents(path)


def check_parents(path: str | os.PathLike) -> None:
    """Raise WxrError if nothing can be created at `path`: no folder above it, or no permission."""
    existing = next(parent for parent in Path(path).absolute().parents if parent.exists())
    if not existing.is_dir():
        raise WxrError(f"{path}: {existing} is a file, not a folder; choose another place")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise WxrError(f"{path}: no permission to write into {existing}; choose another place")


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Replace `path` by `data` atomically."""
    with replacing(path) as file:
        file.write(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Replace `path` by `text` (UTF-8) atomically."""
    write_bytes(path, text.encode())


def write_with(path: str | os.PathLike, save: Callable[[BinaryIO], object]) -> None:
    """Replace `path` atomically by the bytes that `save(file)` writes.

    With `functools.partial`, `torch.save` and `Image.save` fit as `save`.
    """
    with replacing(path) as file:
        save(file)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
