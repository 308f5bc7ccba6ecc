"""Tables of captions and degradations in the layout of DA-CLIP: tab separated, `filepath` and `title`."""

import csv
import io
from collections.abc import Collection, Iterable
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import write_text

COLUMNS = ("filepath", "title")
SEPARATOR = ": "
SHOWN = 20
"""Bad rows that a message names."""


class TableError(WxrError):
    """A table with rows that cannot be used; names them."""


class CaptionRow(NamedTuple):
    """One degraded image."""

    file: str
    """As the table names it."""
    caption: str
    """What its clean version shows."""
    degradation: str
    """What spoils it: one of the words."""


def read_table(path: str | PathLike, words: Collection[str] = ()) -> dict[int, CaptionRow]:
    """Rows by their line in the file `path`.

    `title` is "<caption>: <degradation>", split at the last ": ", so that a caption may have one of
    its own (the authors' loader stops at such a caption). With `words`, every other degradation is
    an error.

    Raises:
        TableError: the file is no such table or rows are malformed: all of them, with their lines.
    """
    path = Path(path).expanduser()
    try:
        reader = csv.reader(
            io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""), delimiter="\t"
        )
        lines = [(cells, reader.line_num) for cells in reader if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path}: not a table of captions ({error})") from error
    if not lines or any(name not in lines[0][0] for name in COLUMNS):
        found = " | ".join(lines[0][0]) if lines else "nothing"
        raise TableError(
            f"{path}:1: expected the tab-separated columns filepath and title, found {found[:80]}"
        )
    places = [lines[0][0].index(name) for name in COLUMNS]
    rows, bad = {}, []
    for cells, number in lines[1:]:
        try:
            rows[number] = _row(cells, places, words)
        except ValueError as error:
            bad.append(f"{path}:{number}: {error}")
    refuse(path, bad)
    return rows


def write_table(path: str | PathLike, rows: Iterable[CaptionRow]) -> None:
    """Replace the table at `path` in one step."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((row.file, f"{row.caption}{SEPARATOR}{row.degradation}") for row in rows)
    write_text(path, text.getvalue())


def refuse(path: str | PathLike, bad: list[str]) -> None:
    """Raise TableError with the lines `bad` about the table `path`, if there are any."""
    if bad:
        more = [f"… and {len(bad) - SHOWN} more"] if len(bad) > SHOWN else []
        lines = "\n  ".join([*bad[:SHOWN], *more])
        raise TableError(f"{path}: {len(bad)} rows cannot be used; mend or remove them:\n  {lines}")


def _row(cells: list[str], places: list[int], words: Collection[str]) -> CaptionRow:
    if max(places) >= len(cells):
        raise ValueError(f"{len(cells)} of {max(places) + 1} columns (tabs separate them)")
    file, title = (cells[place].strip() for place in places)
    caption, separator, degradation = title.rpartition(SEPARATOR)
    if not separator or not caption.strip() or not degradation.strip():
        raise ValueError(f"{title[:60]!r} is not '<caption>: <degradation>'")
    if not file:
        raise ValueError("no file")
    if words and degradation.strip() not in words:
        raise ValueError(f"unknown degradation {degradation.strip()!r} (known: {', '.join(words)})")
    return CaptionRow(file, caption.strip(), degradation.strip())
