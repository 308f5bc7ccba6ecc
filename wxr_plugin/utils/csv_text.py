"""CSV files whose cells no spreadsheet runs as formulas.

A photo's name comes from a stranger, and a spreadsheet evaluates a cell such as `=cmd|...`. A text
cell that begins like a formula is written with a leading apostrophe, as OWASP's page on CSV
injection recommends. The functions here read such cells back as they were.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wxr_plugin.errors import WxrError

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_ESCAPED = re.compile(r"'+[=+\-@\t\r]")


def escape(cell: Any) -> Any:
    """Return `cell`, with a leading apostrophe if it is text that a spreadsheet would take for a formula.

    Numbers, also those written as text such as "-3.5", are returned as they are.
    """
    if not isinstance(cell, str) or not _FORMULA.match(cell) or _is_number(cell):
        return cell
    return f"'{cell}"


def unescape(cell: str) -> str:
    """Return the text that `escape` turned into `cell`."""
    return cell[1:] if _ESCAPED.match(cell) else cell


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return CSV text of `header` and `rows`, every cell escaped, lines ending in a line feed."""
    return "".join(_line([escape(cell) for cell in row]) for row in (header, *rows))


def dicts_to_csv(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return CSV text of `rows`, which map columns to cells; a missing cell is empty."""
    columns = list(columns)
    return to_csv(columns, ([row.get(column, "") for column in columns] for row in rows))


def read_csv(path: Path) -> list[list[str]]:
    """Return the rows of the CSV file at `path`, header included, with their cells unescaped."""
    return [[unescape(cell) for cell in row] for row in csv.reader(_open(path))]


def read_dicts(path: Path) -> Iterator[dict[str | None, Any]]:
    """Yield the rows of the CSV file at `path` as `csv.DictReader` does, with their cells unescaped."""
    for row in csv.DictReader(_open(path)):
        # Where a row and the header differ in length, csv gives a list under None, or None as a
        # cell.
        yield {_unescape_text(column): _unescape_text(cell) for column, cell in row.items()}


def _line(row: Sequence[Any]) -> str:
    """Return a row as a line; a cell with a carriage return is quoted, which csv does for its own line end alone."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(row)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _unescape_text(cell: Any) -> Any:
    return unescape(cell) if isinstance(cell, str) else cell


def _open(path: Path) -> io.StringIO:
    """Return the file's text with its line ends as they are, which the csv module expects."""
    try:
        return io.StringIO(path.read_bytes().decode("utf-8"), newline="")
    except UnicodeDecodeError:
        raise WxrError(f"{path}: not a CSV file in UTF-8") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
