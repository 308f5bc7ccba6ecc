"""Checks of names that become paths: keys of an LMDB, names of photos, experiments and sets."""

import re
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from wxr_plugin.errors import WxrError

LONGEST_NAME = 200
"""Limit of a plain name in bytes.

File systems allow 255; the difference leaves room for endings such as _archived_20260101_120000.
"""
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")


class UnsafeNameError(WxrError):
    """A key or name that leads out of its folder."""


def key_fault(key: str) -> str:
    """Return why `key` must not be joined to a folder, or an empty text if it is safe.

    Backslashes count as separators, so that the result is the same on every system.
    """
    if not key:
        return "is empty"
    if "\0" in key:
        return "holds a NUL character"
    if key.startswith(("/", "\\")) or _DRIVE.match(key):
        return "is an absolute path"
    if ".." in re.split(r"[/\\]", key):
        return "leads to a parent folder ('..')"
    return ""


def name_fault(name: str) -> str:
    """Return why `name` is not a plain file or folder name, or an empty text if it is.

    Spaces, dots and any script are accepted.
    """
    if "/" in name or "\\" in name:
        return "holds a path separator"
    if name.strip() in ("", ".", ".."):
        return "is empty" if not name.strip() else "is a folder's short name, not a name"
    if re.search(r"[\x00-\x1f\x7f]", name):
        return "holds a control character"
    # surrogateescape: file names that are not valid UTF-8 have a length too.
    size = len(name.encode(errors="surrogateescape"))
    return f"has {size} bytes, more than {LONGEST_NAME}" if size > LONGEST_NAME else ""


def safe_join(folder: str | PathLike, key: str) -> Path:
    """Return the path of `key` below `folder`.

    Raises:
        UnsafeNameError: `key` leads out of `folder`.
    """
    fault = key_fault(key)
    if fault:
        raise UnsafeNameError(
            f"{key!a} {fault}, so no file is named after it; give it another name"
        )
    return Path(folder) / key


def refuse_unsafe_keys(place: str | PathLike, keys: Iterable[str]) -> None:
    """Raise UnsafeNameError if a file named after one of `keys`, stored in `place`, is unsafe."""
    unsafe = [f"{key!a} {fault}" for key in keys if (fault := key_fault(key))]
    if not unsafe:
        return
    rest = len(unsafe) - 1
    more = f", and {rest} more like it" if rest else ""
    raise UnsafeNameError(
        f"{place}: the key {unsafe[0]}{more}; a file named after it would lie outside its folder. "
        "Build the LMDB again from its images"
    )
