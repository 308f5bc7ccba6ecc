"""Room on the disk for a file that is about to be fetched or unpacked."""

import shutil
from pathlib import Path

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.commands import DISK_FULL

MARGIN = 64 << 20
"""Bytes that stay free."""


def check_room(folder: Path, needed: int | None, name: str) -> None:
    """Raise WxrError if `needed` more bytes do not fit into `folder`; None: not known.

    `name` is used in the message.
    """
    if needed is None:
        return
    free = shutil.disk_usage(folder).free
    if needed + MARGIN > free:
        raise WxrError(
            f"{name}: needs {readable(needed)}, and {folder} has {readable(free)} free; free some "
            "space, or name another folder"
        )


def is_disk_full(error: BaseException) -> bool:
    """Return whether `error` is that of a full disk."""
    return isinstance(error, OSError) and error.errno in DISK_FULL


def readable(size: int) -> str:
    """Return a number of bytes in words: 12.3 MB."""
    if size < 1000:
        return f"{size} bytes"
    amount, unit = size / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.1f} {unit}"
