"""What a benchmark has done, one journal for each method and set: a line for each photo restored and each score.

A line is appended as soon as its result is there, so that a process that is killed loses one photo
at the most. A line that was cut short is passed over.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import msgspec

from wxr_plugin.utils import files


class Restored(msgspec.Struct, tag="restored", frozen=True):
    """A photo as a method restored it, and what went into it."""

    image: str
    """Name of the photo."""
    lq: str
    """Hash of the photo's file."""
    protocol: dict[str, str]
    """`Method.protocol` of then."""
    content: str
    """Hash of the restored image's file."""
    size: int
    """Bytes of that file."""
    width: int
    height: int
    seconds: float | None = None
    """Of the network alone: reading and writing are not in it. None where nothing was run."""
    peak_mib: float | None = None
    device: str = ""
    versions: str = ""
    """Digest of the packages' versions."""


class Score(msgspec.Struct, tag="score", frozen=True):
    """One metric of one restored photo, or with image "" of the whole set."""

    image: str
    metric: str
    block: str
    """Digest of what the metric was asked."""
    of: str
    """Hash of what was measured, and of its ground truth."""
    value: str
    """The number as Python writes it, since JSON has no inf."""
    count: int = 1
    """Photos that are in it."""
    versions: str = ""


class Cost(msgspec.Struct, tag="cost", frozen=True):
    """What a method's network takes, counted once."""

    protocol: dict[str, str]
    parameters: int
    macs_per_megapixel: float | None
    """Multiplications with addition for a million pixels."""
    note: str = ""
    """Why there are no MACs."""


Entry = Restored | Score | Cost


class Cells:
    """The journal at `path`; the last entry of a photo and metric counts."""

    def __init__(self, path: Path):
        self.path = path
        self.restored: dict[str, Restored] = {}
        self.scores: dict[tuple[str, str], Score] = {}
        self.cost: Cost | None = None
        for entry in _read(path):
            self._take(entry)
        self._file: TextIO | None = None

    def add(self, entry: Entry) -> None:
        """Take an entry and write it down."""
        if self._file is None:
            self._rewrite()
            self._file = self.path.open("a", encoding="utf-8")
        self._take(entry)
        self._file.write(msgspec.json.encode(entry).decode() + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file; `add` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _take(self, entry: Entry) -> None:
        match entry:
            case Restored():
                self.restored[entry.image] = entry
            case Score():
                self.scores[entry.image, entry.metric] = entry
            case Cost():
                self.cost = entry

    def _rewrite(self) -> None:
        """Without a line that was cut short, and without entries that later ones replaced."""
        entries = [
            *([self.cost] if self.cost else []),
            *self.restored.values(),
            *self.scores.values(),
        ]
        files.write_bytes(
            self.path, b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
        )


def _read(path: Path) -> Iterator[Entry]:
    if not path.is_file():
        return
    decoder = msgspec.json.Decoder(Entry)
    with path.open("rb") as lines:
        for line in lines:
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError:  # cut short by a kill, or of another version: done again
                continue
