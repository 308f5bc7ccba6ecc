"""Journal of an LMDB's build, build.jsonl: the entries of each source file, with checksums.

Lines are appended while the build runs, so that a stopped build can be resumed.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from wxr_plugin.errors import WxrError
from wxr_plugin.utils import files

JOURNAL = "build.jsonl"


class Plan(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of a build; the first line of the journal."""

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
        """Line of the entry in meta_info.txt, without the newline."""
        return f"{self.key}{self.suffix} ({self.height},{self.width},3) {self.level}"


class Row(msgspec.Struct, forbid_unknown_fields=True):
    """One source file at the time of the build, with its entries, or the reason for having none."""

    file: str
    """Path below the source folder."""
    size: int
    mtime_ns: int
    sha256: str
    entries: list[Entry] = []
    bad: str = ""
    """Name of the file and why it cannot be used; empty if it can."""

    def is_of(self, path: Path) -> bool:
        """Return whether `path` still holds the file that the row was made from.

        A changed time alone does not count.
        """
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        # Only touched files are hashed, because hashing all of a large set is slow.
        return path.stat().st_mtime_ns == self.mtime_ns or sha256(path.read_bytes()) == self.sha256


class Journal:
    """Journal of one LMDB folder.

    A line is added only after its entries are committed to the LMDB.
    """

    def __init__(self, folder: Path):
        self.path = folder / JOURNAL

    def exists(self) -> bool:
        """Return whether a build was ever started here."""
        return self.path.is_file()

    def read(self) -> tuple[Plan, list[Row]]:
        """Return the plan and the rows.

        A last line that a crash cut short is dropped: its entries are written again.

        Raises:
            WxrError: the journal is damaged elsewhere, or of another version of this package.
        """
        *lines, _cut_short = self.path.read_bytes().split(b"\n")
        try:
            plan = msgspec.json.decode(lines[0], type=Plan)
            rows = [msgspec.json.decode(line, type=Row) for line in lines[1:]]
            return plan, rows
        except (IndexError, msgspec.DecodeError) as error:
            raise WxrError(
                f"{self.path}: not readable ({error}); delete {self.path.parent} and build again"
            ) from error

    def start(self, plan: Plan, rows: list[Row]) -> None:
        """Replace the journal by `plan` and `rows` atomically."""
        files.write_bytes(self.path, _lines([plan, *rows]))

    def add(self, rows: list[Row]) -> None:
        """Append `rows` and flush them to the disk."""
        with self.path.open("ab") as file:
            file.write(_lines(rows))
            file.flush()
            os.fsync(file.fileno())


def _lines(rows: Sequence[Plan | Row]) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def sha256(data: bytes) -> str:
    """Return the hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()
