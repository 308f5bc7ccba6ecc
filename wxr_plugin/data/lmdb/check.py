"""Checking an LMDB of images, entry by entry."""

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


def check(dst: str | PathLike, progress: bool = False) -> list[str]:
    """Everything that is wrong with the LMDB `dst`, one line each; an empty list for a sound one.

    Each entry of meta_info.txt must be there, decode, have the shape that is written there and,
    where the LMDB was made by `build`, the bytes of then (SHA-256). Entries that meta_info.txt does
    not name are surplus, and a key that would lead out of a folder is unsafe. LMDBs made by BasicSR
    itself are checked as well, without checksums.

    Raises:
        WxrError: there is no such folder.
    """
    dst = Path(dst)
    if not dst.is_dir():
        raise WxrError(f"{dst}: no such folder")
    try:
        shapes = read_meta_info(dst)
        refuse_cut_database(dst)
        return _check_entries(dst, shapes, progress)
    except WxrError as error:
        return [str(error)]
    except lmdb.Error as error:
        return [f"corrupt: {dst} itself ({error}); build it again"]


def _check_entries(dst: Path, shapes: dict[str, tuple[int, int, int]], progress: bool) -> list[str]:
    sums = _checksums(dst)
    problems = [
        f"missing: {key} is in build.jsonl but not in meta_info.txt"
        for key in sorted(set(sums) - set(shapes))
    ]
    with open_lmdb(dst).begin() as transaction:
        there = {
            key.decode(errors="backslashreplace")
            for key in transaction.cursor().iternext(values=False)
        }
        problems += [f"missing: {key}" for key in sorted(set(shapes) - there)]
        problems += [f"surplus: {key}" for key in sorted(there - set(shapes))]
        problems += [
            f"unsafe: {key!a} {fault}"
            for key in sorted(there | set(shapes))
            if (fault := key_fault(key))
        ]
        with ThreadPoolExecutor() as pool:
            for keys in batches(sorted(set(shapes) & there), _BATCH, dst.name, shown=progress):
                values = [transaction.get(key.encode()) for key in keys]
                found = pool.map(
                    _fault,
                    keys,
                    values,
                    [shapes[key] for key in keys],
                    [sums.get(key) for key in keys],
                )
                problems += [f"corrupt: {fault}" for fault in found if fault]
    return problems


def _checksums(dst: Path) -> dict[str, str]:
    journal = Journal(dst)
    rows = journal.read()[1] if journal.exists() else []
    return {entry.key: entry.sha256 for row in rows for entry in row.entries}


def _fault(key: str, value: bytes, shape: tuple[int, int, int], checksum: str | None) -> str:
    """What is wrong with one entry; nothing if all is well."""
    if checksum and sha256(value) != checksum:
        return f"{key}: its bytes have changed since the build"
    try:
        found = read_image(value, key).shape
    except BadImageError as error:
        return str(error)
    if found[:2] != shape[:2]:
        return f"{key}: {found[0]}x{found[1]} pixels, but {shape[0]}x{shape[1]} in meta_info.txt"
    return ""
