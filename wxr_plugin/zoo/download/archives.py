"""Single files out of zip and tar archives."""

import gzip
import lzma
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO

from wxr_plugin.utils.disk import check_room
from wxr_plugin.zoo.download.addresses import Address
from wxr_plugin.zoo.download.http import TransferError


def unpack(archive: Path, address: Address, target: Path) -> Iterator[str]:
    """Write one file of `archive` after the other to `target`, and yield the name of each.

    These are the files that `address` describes, those with the highest numbers in their names
    first.

    Raises:
        TransferError: it is no archive, is damaged, or has no such file.
    """
    try:
        if zipfile.is_zipfile(archive):
            yield from _unpack_zip(archive, address, target)
        elif tarfile.is_tarfile(archive):
            yield from _unpack_tar(archive, address, target)
        else:
            raise TransferError(f"{address.url}: no zip or tar archive came; ask the authors")
    except _DAMAGES as error:
        raise TransferError(f"{address.url}: the archive is damaged ({error})") from error


_DAMAGES = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    RuntimeError,  # of zipfile: a password, or an unknown compression
)


def _unpack_zip(archive: Path, address: Address, target: Path) -> Iterator[str]:
    with zipfile.ZipFile(archive) as file:
        sizes = {info.filename: info.file_size for info in file.infolist() if not info.is_dir()}
        for name in _chosen(list(sizes), address):
            with file.open(name) as member:
                _write(member, target, sizes[name])
            yield name


def _unpack_tar(archive: Path, address: Address, target: Path) -> Iterator[str]:
    with tarfile.open(archive) as file:
        members = {member.name: member for member in file.getmembers() if member.isfile()}
        for name in _chosen(list(members), address):
            member = file.extractfile(members[name])
            # A regular file always has contents.
            if member is not None:
                _write(member, target, members[name].size)
                yield name


def _write(member: BinaryIO, target: Path, size: int) -> None:
    check_room(target.parent, size, target.name)
    with target.open("wb") as file:
        shutil.copyfileobj(member, file)


def _chosen(names: list[str], address: Address) -> list[str]:
    """Return the files that may be meant, the highest number first."""
    chosen = [name for name in names if fnmatch(name, address.member)]
    if address.without:
        chosen = [name for name in chosen if not fnmatch(name.lower(), address.without)]
    if not chosen:
        raise TransferError(
            f"{address.url}: the archive has no {address.member}, but {', '.join(names)}"
        )
    return sorted(chosen, key=_natural, reverse=True)


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts model-9 before model-10."""
    words = re.split(r"(\d+)", name)
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in words]
