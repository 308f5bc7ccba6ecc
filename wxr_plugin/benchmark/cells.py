"""Journals of a benchmark, one for each method and set: a line for each restored photo and score.

A line is appended as soon as its result is known, so that a process that is killed loses at most
one photo. A line that was cut short is skipped.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import msgspec

from wxr_plugin.utils import files


class Restored(msgspec.Struct, tag="restored", frozen=True):
    """Record of a restored photo, and of all that the result depends on."""

    image: str
    """Name of the photo."""
    lq: str
    """Hash of the photo's file."""
    protocol: dict[str, str]
    """`Method.protocol` at that time."""
    content: str
    """Hash of the restored image's file."""
    size: int
    """Bytes of that file."""
    width: int
    height: int
    seconds: float | None = None
    """Time of the network without reading and writing; None if no network was run."""
    peak_mib: float | None = None
    device: str = ""
    versions: str = ""
    """Digest of the versions of packages."""


class Score(msgspec.Struct, tag="score", frozen=True):
    """Record of one metric of one restored photo, or of the whole set if `image` is empty."""

    image: str
    metric: str
    block: str
    """Digest of the options of the metric."""
    of: str
    """Hash of the measured image, with that of its ground truth."""
    value: str
    """The number as Python prints it, because JSON has no inf."""
    count: int = 1
    """Number of photos that were measured."""
    versions: str = ""


class Cost(msgspec.Struct, tag="cost", frozen=True):
    """Record of the cost of a network, counted once per method."""

    protocol: dict[str, str]
    parameters: int
    macs_per_megapixel: float | None
    """Multiply-accumulate operations for a million pixels."""
    note: str = ""
    """Reason why there are no MACs."""


Entry = Restored | Score | Cost


class Cells:
    """The journal at `path`. Of several entries of a photo and metric the last counts.

    Attributes:
        restored: name of a photo -> its record.
        scores: (name of a photo, metric) -> its record.
        cost: record of the cost, if there is one.
    """

    def __init__(self, path: Path):
        self.path = path
        self.restored: dict[str, Restored] = {}
        self.scores: dict[tuple[str, str], Score] = {}
        self.cost: Cost | None = None
        for entry in _read(path):
            self._take(entry)
        self._file: TextIO | None = None

    def add(self, entry: Entry) -> None:
        """Add an entry and append it to the file."""
        # The first entry rewrites the file, so that reading a journal never changes it.
        if self._file is None:
            self._rewrite()
            self._file = self.path.open("a", encoding="utf-8")
        self._take(entry)
        line = msgspec.json.encode(entry).decode()
        self._file.write(line + "\n")
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
        """Write the entries without a line that was cut short and without replaced entries."""
        entries: list[Entry] = []
        if self.cost:
            entries.append(self.cost)
        entries += self.restored.values()
        entries += self.scores.values()
        lines = [msgspec.json.encode(entry) + b"\n" for entry in entries]
        files.write_bytes(self.path, b"".join(lines))


def _read(path: Path) -> Iterator[Entry]:
    if not path.is_file():
        return
    decoder = msgspec.json.Decoder(Entry)
    with path.open("rb") as lines:
        for line in lines:
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError:  # cut short by a kill, or of another version: made again
                continue
