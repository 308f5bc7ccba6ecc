"""The build.jsonl beside an LMDB: which source file became which entries, with checksums, line by line as it goes."""

import hashlib
import os
from pathlib import Path

import msgspec

from wxr_plugin.errors import WxrError
from wxr_plugin.utils import files

JOURNAL = "build.jsonl"


class Plan(msgspec.Struct, forbid_unknown_fields=True):
    """What a build is asked to do; the first line of the journal."""

    source: str
    """Absolute path of the source folder."""
    crop_size: int
    """Side of the sub-images in pixels; 0 keeps whole files."""
    step: int
    """Distance between sub-images in pixels."""
    version: int = 1


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """One key of the LMDB."""

    key: str
    suffix: str
    """Format of the bytes, as a file suffix: .jpg."""
    height: int
    width: int
    level: int
    """PNG compression of bytes that the build encoded; 0 for original bytes."""
    sha256: str

    @property
    def meta_line(self) -> str:
        """Its line in meta_info.txt, without the line's end."""
        return f"{self.key}{self.suffix} ({self.height},{self.width},3) {self.level}"


class Row(msgspec.Struct, forbid_unknown_fields=True):
    """One source file: what it was, and its entries, or why it has none."""

    file: str
    """Path below the source folder."""
    size: int
    mtime_ns: int
    sha256: str
    entries: list[Entry] = []
    bad: str = ""

    def is_of(self, path: Path) -> bool:
        """Whether `path` still holds the file that the row was made from; a changed time alone does not count."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        return path.stat().st_mtime_ns == self.mtime_ns or sha256(path.read_bytes()) == self.sha256


class Journal:
    """The journal of one LMDB folder.

    Lines are added after the entries are safely in the LMDB, never before.
    """

    def __init__(self, folder: Path):
        self.path = folder / JOURNAL

    def exists(self) -> bool:
        """Whether a build was ever begun here."""
        return self.path.is_file()

    def read(self) -> tuple[Plan, list[Row]]:
        """The plan and the rows.

        A last line that a crash cut is dropped: its entries are simply written again.

        Raises:
            WxrError: the journal is damaged elsewhere, or of another version of this package.
        """
        *lines, _cut_short = self.path.read_bytes().split(b"\n")
        try:
            return msgspec.json.decode(lines[0], type=Plan), [
                msgspec.json.decode(line, type=Row) for line in lines[1:]
            ]
        except (IndexError, msgspec.DecodeError) as error:
            raise WxrError(
                f"{self.path}: not readable ({error}); delete {self.path.parent} and build again"
            ) from error

    def start(self, plan: Plan, rows: list[Row]) -> None:
        """Replace the journal by `plan` and `rows`, in one step."""
        files.write_bytes(
            self.path, b"".join(msgspec.json.encode(line) + b"\n" for line in (plan, *rows))
        )

    def add(self, rows: list[Row]) -> None:
        """Append `rows` and flush them to the disk."""
        with self.path.open("ab") as file:
            file.write(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()
