"""One file of a row: fetched from the first address that has it, checked, and put in place."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wxr_plugin.checkpoints.reading import CheckpointError
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.disk import is_disk_full
from wxr_plugin.utils.hashing import sha256_of
from wxr_plugin.zoo.download.addresses import Address, WantedFile
from wxr_plugin.zoo.download.archives import unpack
from wxr_plugin.zoo.download.hosts import Transfer, fetch_from
from wxr_plugin.zoo.download.http import TransferError
from wxr_plugin.zoo.download.sums import NAME, read_sums, record_sum
from wxr_plugin.zoo.places import existing

if TYPE_CHECKING:
    from filelock import FileLock

WORK = ".download"
"""Folder below that of the weights for files on their way; those in it are resumed."""


def obtain(wanted: WantedFile, folder: Path, transfer: Transfer) -> Path:
    """Fetch a file into `folder`, unless it is there, and return its path.

    Nothing appears at its place before it is complete and checked: size and SHA-256 as published,
    or as recorded when it first arrived, and weights that fit the row. A second process that wants
    the same file waits for it.

    Raises:
        WxrError: no address has the file, or it is not the published one; the message gives the
            reason for each address and says whom to ask.
    """
    if not wanted.addresses:
        raise WxrError(
            f"{wanted.name}: the authors publish no such file; ask {wanted.ask}, and put it at "
            f"{folder / wanted.target}"
        )
    with _locked(folder, wanted):
        # Another process may have fetched it while this one waited.
        file = existing(wanted.row, wanted.name, folder)
        if file is None:
            file = _first_that_works(wanted, folder, transfer)
    return file


def check_recorded(file: Path, folder: Path) -> None:
    """Raise WxrError if a file below `folder` is not the one that arrived there first."""
    recorded = read_sums(folder).get(file.relative_to(folder).as_posix())
    if recorded and sha256_of(file) != recorded:
        raise WxrError(
            f"{file}: has changed since it arrived ({NAME} has another SHA-256); remove it and get "
            f"it again, or remove its line from {folder / NAME} if the change is yours"
        )


@contextmanager
def _locked(folder: Path, wanted: WantedFile) -> Iterator[None]:
    """Hold the lock of a file during the block; wait if another process has it."""
    work = folder / WORK
    lock = _acquired(work / f"{_flat(wanted)}.lock", wanted)
    try:
        yield
    finally:
        # A process that waits opens the lock by its name each time that it looks.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):
            work.rmdir()  # only if nothing else is on its way


def _acquired(path: Path, wanted: WantedFile) -> "FileLock":
    """Return a lock that this process holds."""
    from filelock import FileLock, Timeout

    wait = 0.1
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=wait)
            return lock
        except Timeout:
            print(f"{wanted.name}: another process is fetching it; waiting", file=sys.stderr)
            wait = -1  # without end
        except FileNotFoundError:
            continue  # the other process is done and has removed the folder


def _first_that_works(wanted: WantedFile, folder: Path, transfer: Transfer) -> Path:
    reasons = []
    for address in wanted.addresses:
        try:
            return _from_address(address, wanted, folder, transfer)
        except TransferError as error:
            reasons.append(str(error))
    place = folder / wanted.target
    raise WxrError(
        f"{wanted.name} did not arrive: {'; '.join(reasons)}; or get it elsewhere, ask "
        f"{wanted.ask}, and put it at {place}"
    )


def _from_address(address: Address, wanted: WantedFile, folder: Path, transfer: Transfer) -> Path:
    work = folder / WORK / _flat(wanted)
    work.mkdir(parents=True, exist_ok=True)
    part = work / "part"
    try:
        fetch_from(address, wanted, part, transfer)
    except BaseException as error:
        if is_disk_full(error) or not _can_continue(work):
            shutil.rmtree(work)
        raise
    # What is complete is either moved to its place or of no use.
    try:
        checked = _checked(address, wanted, part, folder)
        target = folder / wanted.target
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(checked, target)
        record_sum(folder, wanted.target, sha256_of(target))
        return target
    finally:
        shutil.rmtree(work)


def _can_continue(work: Path) -> bool:
    """Return whether the next transfer can continue with what is in the folder of this one."""
    for file in work.rglob("*"):
        # part: ours and gdown's; .incomplete: huggingface_hub's
        is_part = file.name.startswith("part") and file.suffix != ".json"
        if (is_part or file.suffix == ".incomplete") and file.stat().st_size:
            return True
    return False


def _checked(address: Address, wanted: WantedFile, part: Path, folder: Path) -> Path:
    """Return a file that passes all checks: `part`, or the first of the files in it."""
    # Readers of checkpoints go by the suffix.
    candidate = part.with_name(wanted.target.name)
    if not address.member:
        os.replace(part, candidate)
        _check(address.url, wanted, candidate, folder)
        return candidate
    reasons = []
    for member in unpack(part, address, candidate):
        try:
            _check(f"{member} in {address.url}", wanted, candidate, folder)
        except TransferError as error:
            reasons.append(str(error))
        else:
            return candidate
    raise TransferError("; ".join(reasons))


def _check(source: str, wanted: WantedFile, file: Path, folder: Path) -> None:
    """Raise TransferError unless `file` is the published one and holds the weights of the row."""
    size, digest = file.stat().st_size, sha256_of(file)
    if wanted.size is not None and size != wanted.size:
        raise TransferError(f"{source}: {size} bytes, and the published file has {wanted.size}")
    if wanted.sha256 and digest != wanted.sha256:
        raise TransferError(
            f"{source}: its SHA-256 is {digest}, and that of the published file {wanted.sha256}: "
            "it is damaged or was exchanged; it was removed"
        )
    recorded = read_sums(folder).get(str(wanted.target))
    if recorded and digest != recorded:
        raise TransferError(
            f"{source}: its SHA-256 is {digest}, and {recorded} when it first arrived: it was "
            f"exchanged; remove its line from {folder / NAME} to accept the new one"
        )
    _check_weights(source, wanted, file)


def _check_weights(source: str, wanted: WantedFile, file: Path) -> None:
    """Raise TransferError unless the file is recognised, as by `wxr zoo verify`."""
    from wxr_plugin.zoo.recognise import recognise

    try:
        report = recognise(file, only=(wanted.row.name,))
    except CheckpointError as error:
        reason = str(error).replace(str(file), "it", 1)
        raise TransferError(f"{source}: not readable as a checkpoint: {reason}") from error
    if not wanted.is_network:
        fits = report.other is not None
    else:
        fits = any(match.part in (None, wanted.name) for match in report.matches)
    if not fits:
        differences = report.closest_differs or report.other or "the weights of another network"
        raise TransferError(f"{source}: does not fit {wanted.row.name}: {differences}")


def _flat(wanted: WantedFile) -> str:
    """Return the place of a file as one name."""
    return str(wanted.target).replace("/", "--")
