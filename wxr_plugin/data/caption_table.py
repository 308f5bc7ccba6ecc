"""Tables of captions and degradations in DA-CLIP's layout: tab-separated filepath and title."""

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
"""Number of bad rows that a message lists."""


class TableError(WxrError):
    """A table with unusable rows, which the message lists."""


class CaptionRow(NamedTuple):
    """One degraded image."""

    file: str
    """Its file name as in the table."""
    caption: str
    """Content of its clean version."""
    degradation: str
    """One of the degradation words."""


def read_table(path: str | PathLike, words: Collection[str] = ()) -> dict[int, CaptionRow]:
    """Read the rows of the file `path`, keyed by line number.

    `title` is "<caption>: <degradation>", split at the last ": ", so that a caption may contain one
    itself (the authors' loader fails on such a caption). If `words` are given, every other
    degradation is an error.

    Raises:
        TableError: the file is not such a table, or rows are malformed; the message lists them.
    """
    path = Path(path).expanduser()
    (columns, _), *lines = _read_lines(path)
    places = [columns.index(name) for name in COLUMNS]
    rows: dict[int, CaptionRow] = {}
    problems = []
    for cells, number in lines:
        try:
            rows[number] = _row(cells, places, words)
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
    refuse(path, problems)
    return rows


def write_table(path: str | PathLike, rows: Iterable[CaptionRow]) -> None:
    """Replace the table at `path` atomically."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        title = f"{row.caption}{SEPARATOR}{row.degradation}"
        writer.writerow((row.file, title))
    write_text(path, text.getvalue())


def refuse(path: str | PathLike, problems: list[str]) -> None:
    """Raise TableError with the lines `problems` about the table `path`, if there are any."""
    if not problems:
        return
    count = len(problems)
    shown = problems[:SHOWN]
    if count > SHOWN:
        shown.append(f"… and {count - SHOWN} more")
    lines = "\n  ".join(shown)
    raise TableError(f"{path}: {count} rows cannot be used; fix or remove them:\n  {lines}")


def _read_lines(path: Path) -> list[tuple[list[str], int]]:
    """Return (cells, line number) of every line that is not empty, the header first."""
    try:
        # utf-8-sig: spreadsheets put a byte order mark in front of the first column's name.
        text = path.read_text(encoding="utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t")
        lines = [(cells, reader.line_num) for cells in reader if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path}: not a table of captions ({error})") from error
    columns = ["nothing"]
    if lines:
        columns, _ = lines[0]
    if any(name not in columns for name in COLUMNS):
        header = " | ".join(columns)
        raise TableError(
            f"{path}:1: expected the tab-separated columns filepath and title, found {header[:80]}"
        )
    return lines


def _row(cells: list[str], places: list[int], words: Collection[str]) -> CaptionRow:
    """Return the row of the `cells`, of which `places` hold file and title.

    Raises:
        ValueError: a cell is missing, empty or malformed.
    """
    needed = max(places) + 1
    if len(cells) < needed:
        raise ValueError(f"{len(cells)} of {needed} columns (tabs separate them)")
    file, title = (cells[place].strip() for place in places)
    caption, separator, degradation = title.rpartition(SEPARATOR)
    caption = caption.strip()
    degradation = degradation.strip()
    is_complete = separator and caption and degradation
    if not is_complete:
        raise ValueError(f"{title[:60]!r} is not '<caption>: <degradation>'")
    if not file:
        raise ValueError("no file")
    if words and degradation not in words:
        raise ValueError(f"unknown degradation {degradation!r} (known: {', '.join(words)})")
    return CaptionRow(file, caption, degradation)
