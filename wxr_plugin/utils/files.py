"""Atomic writing of files: a crash never leaves half a file under the final name."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Yield a binary file that replaces `path` when the block ends without an error.

    The bytes go to a temporary file in the same folder, which is flushed to the disk and renamed.
    After an error the temporary file is removed and `path` is unchanged.
    """
    path = Path(path)
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
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
