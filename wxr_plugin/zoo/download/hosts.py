"""Transfer from each kind of address: the web, the Hugging Face hub, and Google Drive."""

import importlib
import os
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, NoReturn

from wxr_plugin.errors import WxrError
from wxr_plugin.hub.bars import hub_bars
from wxr_plugin.utils.disk import check_room, is_disk_full
from wxr_plugin.utils.hashing import sha256_of
from wxr_plugin.utils.progress import byte_bar
from wxr_plugin.zoo.download.addresses import Address, WantedFile
from wxr_plugin.zoo.download.http import (
    ATTEMPTS,
    TIMEOUTS,
    TransferError,
    discard,
    errors_as_lines,
    fetch,
)
from wxr_plugin.zoo.download.mirrors import mirrored

EXTRA = "pip install 'wxr_plugin[download]'"


class Transfer(NamedTuple):
    """Settings of all transfers of a command."""

    mirrors: Mapping[str, str] = {}
    """Mirror table."""
    progress: bool = True
    """Whether bars are drawn on stderr."""


def fetch_from(address: Address, wanted: WantedFile, part: Path, transfer: Transfer) -> None:
    """Fetch a file from one of its addresses into `part`.

    Raises:
        TransferError: it cannot be fetched there; one line says why and what to do.
        WxrError: it does not fit on the disk.
    """
    url = mirrored(address.url, transfer.mirrors)
    if address.kind == "page":
        note = f" ({address.note})" if address.note else ""
        raise TransferError(f"{address.at}: has to be opened in a browser{note}")
    # A mirror has plain files, whatever the host of the authors' ones is.
    is_mirrored = url != address.url
    if is_mirrored and address.kind == "drive-folder":
        url = f"{url}/{address.file}"
    if address.kind == "http" or is_mirrored:
        _fetch_http(url, wanted, part, transfer, is_file=not address.member)
    elif address.kind == "hub":
        _fetch_hub(address, part, transfer)
    else:
        _fetch_drive(address, part, transfer)


def _fetch_http(
    url: str, wanted: WantedFile, part: Path, transfer: Transfer, is_file: bool
) -> None:
    # Size and hash are those of the file, not of an archive around it.
    size = wanted.size if is_file else None
    is_hashed = is_file and wanted.sha256 is not None
    with byte_bar(part.parent.name, transfer.progress) as report:
        fetch(url, part, size, is_hashed, report)


def _fetch_hub(address: Address, part: Path, transfer: Transfer) -> None:
    """Fetch with huggingface_hub, which resumes; its own hash of the file is compared."""
    import huggingface_hub as hub

    # Read here, as huggingface_hub reads it when it is imported.
    endpoint = os.environ.get("HF_ENDPOINT") or None
    url = hub.hf_hub_url(address.at, address.file, endpoint=endpoint)
    try:
        metadata = hub.get_hf_file_metadata(url)
        check_room(part.parent, metadata.size, address.file)
        with hub_bars(transfer.progress):
            file = hub.hf_hub_download(
                address.at, address.file, local_dir=part.parent, endpoint=endpoint
            )
    except hub.errors.GatedRepoError as error:
        raise TransferError(
            f"{address.url}: needs the authors' consent: ask for it on {url}, then `hf auth login`"
        ) from error
    except WxrError:
        raise
    except Exception as error:
        # The class of a network error depends on the HTTP library of huggingface_hub.
        if is_disk_full(error):
            raise
        answered = isinstance(error, hub.errors.HfHubHTTPError)
        advice = "" if answered else "; check the network, or set HF_ENDPOINT to a mirror"
        raise TransferError(f"{url}: {_first_line(error)}{advice}") from error
    _check_etag(Path(file), metadata.etag, address)
    os.replace(file, part)


def _check_etag(file: Path, etag: str | None, address: Address) -> None:
    """Compare a large file of the hub with its ETag, which is its SHA-256."""
    if etag and len(etag) == 64 and sha256_of(file) != etag:
        file.unlink()
        raise TransferError(f"{address.url}: arrived damaged; run the command again")


def _fetch_drive(address: Address, part: Path, transfer: Transfer) -> None:
    """Fetch with gdown, which confirms Google's questions and resumes."""
    gdown = _import_gdown(address)
    # It takes a file that is there for a complete one; its own parts have other names.
    discard(part)
    number = address.at
    settings = {"timeout": TIMEOUTS, "retries": ATTEMPTS, "use_cookies": False}
    try:
        if address.kind == "drive-folder":
            listed = gdown.download_folder(
                id=number, output=str(part.parent), quiet=True, skip_download=True, **settings
            )
            number = _in_folder(address, {file.path: file.id for file in listed or ()})
        gdown.download(
            id=number, output=str(part), quiet=not transfer.progress, resume=True, **settings
        )
    except (gdown.exceptions.DownloadError, OSError, ValueError) as error:
        if is_disk_full(error):
            raise
        _refuse_drive(address, error)


def _refuse_drive(address: Address, error: Exception) -> NoReturn:
    """Raise TransferError for an error of gdown: of the network, or an answer of Google."""
    from requests.exceptions import RequestException

    # gdown wraps the last error after its own attempts.
    for cause in (error, error.__cause__, error.__context__):
        if isinstance(cause, RequestException) and cause.response is None:
            with errors_as_lines(address.url):
                raise cause
    raise TransferError(
        f"{address.url}: Google Drive does not hand it out ({_first_line(error)}); try again in a "
        "day if it is a quota, or open the address in a browser"
    ) from error


def _import_gdown(address: Address) -> ModuleType:
    try:
        return importlib.import_module("gdown")
    except ImportError as error:
        raise TransferError(
            f"{address}: Google Drive needs gdown ({EXTRA}), or open it in a browser"
        ) from error


def _in_folder(address: Address, ids: Mapping[str, str]) -> str:
    """Return the id of the file of a folder whose path ends as `address` says."""
    for path in sorted(ids):
        if fnmatch(path, address.file) or fnmatch(path, f"*/{address.file}"):
            return ids[path]
    names = ", ".join(sorted(ids)) or "nothing"
    raise TransferError(f"{address.url}: the folder has no {address.file}, but {names}")


def _first_line(error: BaseException) -> str:
    """Return the first line of an error with words in it, or the name of its class."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
