"""Addresses of published files (`addresses.yml`), and the files that a row of the zoo needs."""

from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Literal

import msgspec
import yaml

from wxr_plugin.errors import WxrError
from wxr_plugin.zoo.rows import Row, Sha256

TABLE = resources.files(__package__) / "addresses.yml"
HUB = "https://huggingface.co"
DRIVE = "https://drive.google.com"


class Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A place where a file is published."""

    kind: Literal["http", "hub", "drive", "drive-folder", "page"]
    """Host, as `addresses.yml` explains; `page` has to be opened in a browser."""
    at: str
    """Web address, hub repository, or id on Google Drive."""
    file: str = ""
    """Path in the hub repository, or pattern of the end of a path in the folder on Google Drive."""
    member: str = ""
    """Pattern of the file in a zip or tar archive; empty: the file is no archive."""
    without: str = ""
    """Pattern of the files in the archive that are something else."""
    note: str = ""
    """Further words for the user."""

    @property
    def url(self) -> str:
        """Web address that a browser opens."""
        if self.kind == "hub":
            return f"{HUB}/{self.at}/resolve/main/{self.file}"
        if self.kind == "drive":
            return f"{DRIVE}/uc?id={self.at}"
        if self.kind == "drive-folder":
            return f"{DRIVE}/drive/folders/{self.at}"
        return self.at

    def __str__(self) -> str:
        """Return the web address and what to do there."""
        words = [self.url]
        if self.kind == "drive-folder":
            words.append(f"({self.file} in it)")
        if self.member:
            words.append(f"({self.member} in the archive)")
        if self.note:
            words.append(f"({self.note})")
        return " ".join(words)


class WantedFile(msgspec.Struct, frozen=True):
    """A file that a row needs."""

    row: Row
    name: str
    """Official name; that of the row if the authors name none."""
    target: PurePosixPath
    """Place below the folder of weights."""
    addresses: tuple[Address, ...]
    """Places where it is published, the best first."""
    ask: str
    """Mail or web address of the authors."""
    size: int | None = None
    """Bytes of the published file, if known."""
    sha256: str | None = None
    """SHA-256 of the published file, if known."""
    is_network: bool = True
    """Whether it holds weights of the row's network; otherwise it is its guide's, for example."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int | None = None
    sha256: Sha256 | None = None
    addresses: tuple[Address, ...] | None = None


class _Method(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ask: str
    all: tuple[Address, ...] = ()
    """Addresses of the files without their own; `{official}` becomes the name of the file."""
    files: dict[str, _File] = {}
    hub_models: tuple[str, ...] = ()


@cache
def methods() -> dict[str, _Method]:
    """Return method -> addresses of its files.

    Raises:
        WxrError: `addresses.yml` is malformed.
    """
    text = TABLE.read_text(encoding="utf-8")
    try:
        return msgspec.convert(yaml.safe_load(text), dict[str, _Method])
    except msgspec.ValidationError as error:
        raise WxrError(f"{TABLE}: {error}") from error


def wanted_files(row: Row) -> list[WantedFile]:
    """Return the files that `row` needs: those of its network, then its further ones."""
    files = [_wanted(row, name, is_network=True) for name in row.official or (row.name,)]
    files += [_wanted(row, name, is_network=False) for name in row.further]
    return files


def hub_models(row: Row) -> tuple[str, ...]:
    """Return the hub ids of the models that `row` loads from the hub's cache."""
    method = methods().get(row.method)
    return method.hub_models if method else ()


def _wanted(row: Row, name: str, is_network: bool) -> WantedFile:
    # Rows of plug-ins have no entry.
    method = methods().get(row.method, _Method(ask=row.source))
    entry = method.files.get(name, _File())
    addresses = entry.addresses
    if addresses is None:
        addresses = tuple(_named(address, name) for address in method.all)
    has_name = name in row.official or not is_network
    return WantedFile(
        row,
        name,
        PurePosixPath(name if has_name else f"{name}.pth"),
        addresses,
        method.ask,
        entry.size,
        entry.sha256 or _row_sha256(row, name),
        is_network,
    )


def _named(address: Address, official: str) -> Address:
    """Return `address` with the name of a file in place of `{official}`."""
    changes = {
        field: getattr(address, field).replace("{official}", official)
        for field in ("at", "file", "note")
    }
    return msgspec.structs.replace(address, **changes)


def _row_sha256(row: Row, name: str) -> str | None:
    for part in row.files or (row.whole,):
        if part.file == name:
            return part.sha256
    return None
