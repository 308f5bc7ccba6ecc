"""Check of an LMDB of images, entry by entry."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path

import lmdb

from wxr_plugin.data.images.io import BadImageError, read_image
from wxr_plugin.data.images.store import open_lmdb, read_meta_info, refuse_cut_database
from wxr_plugin.data.lmdb.journal import Journal, sha256
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.progress import batches
from wxr_plugin.utils.safe_paths import key_fault

_BATCH = 64
Shape = tuple[int, int, int]
"""(height, width, channels)."""


def check(dst: str | PathLike, progress: bool = False) -> list[str]:
    """Return everything that is wrong with the LMDB `dst`, one line each; empty for a sound one.

    Each entry of meta_info.txt must exist, decode, and have the shape that is written there; if
    `build` made the LMDB, its bytes must have the checksum (SHA-256) of the build. Entries that
    meta_info.txt does not list are surplus, and a key that would lead out of a folder is unsafe.
    LMDBs made by BasicSR itself are checked as well, without checksums.

    Raises:
        WxrError: there is no such folder.
    """
    dst = Path(dst)
    if not dst.is_dir():
        fault = "a file; name the folder of an LMDB" if dst.is_file() else "no such folder"
        raise WxrError(f"{dst}: {fault}")
    try:
        shapes = read_meta_info(dst)
        refuse_cut_database(dst)
        return _check_entries(dst, shapes, progress)
    except WxrError as error:
        return [str(error)]
    except lmdb.Error as error:
        return [f"corrupt: {dst} itself ({error}); build it again"]


def _check_entries(dst: Path, shapes: dict[str, Shape], progress: bool) -> list[str]:
    checksums = _checksums(dst)
    listed = set(shapes)
    unlisted = set(checksums) - listed
    problems = [
        f"missing: {key} is in build.jsonl but not in meta_info.txt" for key in sorted(unlisted)
    ]
    with open_lmdb(dst).begin() as transaction:
        stored = _stored_keys(transaction)
        problems += [f"missing: {key}" for key in sorted(listed - stored)]
        problems += [f"surplus: {key}" for key in sorted(stored - listed)]
        problems += _unsafe(stored | listed)
        readable = sorted(listed & stored)
        # Decoding releases the interpreter's lock, so threads use all cores. A batch at a time
        # bounds the memory.
        with ThreadPoolExecutor() as pool:
            for keys in batches(readable, _BATCH, dst.name, shown=progress):
                values = [transaction.get(key.encode()) for key in keys]
                key_shapes = [shapes[key] for key in keys]
                sums = [checksums.get(key) for key in keys]
                faults = pool.map(_fault, keys, values, key_shapes, sums)
                problems += [f"corrupt: {fault}" for fault in faults if fault]
    return problems


def _stored_keys(transaction: lmdb.Transaction) -> set[str]:
    # A damaged key may not be UTF-8; the escapes let it be reported as surplus.
    keys = transaction.cursor().iternext(values=False)
    return {key.decode(errors="backslashreplace") for key in keys}


def _unsafe(keys: set[str]) -> Iterator[str]:
    for key in sorted(keys):
        fault = key_fault(key)
        if fault:
            yield f"unsafe: {key!a} {fault}"


def _checksums(dst: Path) -> dict[str, str]:
    """Return key -> checksum at the build; empty for an LMDB without a journal."""
    journal = Journal(dst)
    if not journal.exists():
        return {}
    _, rows = journal.read()
    return {entry.key: entry.sha256 for row in rows for entry in row.entries}


def _fault(key: str, value: bytes, shape: Shape, checksum: str | None) -> str:
    """Describe what is wrong with one entry; empty if nothing is."""
    if checksum and sha256(value) != checksum:
        return f"{key}: its bytes have changed since the build"
    try:
        height, width = read_image(value, key).shape[:2]
    except BadImageError as error:
        return str(error)
    listed_height, listed_width, _ = shape
    if (height, width) != (listed_height, listed_width):
        listed = f"{listed_height}x{listed_width}"
        return f"{key}: {height}x{width} pixels, but {listed} in meta_info.txt"
    return ""
