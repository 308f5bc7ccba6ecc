"""CSV files whose cells are safe from evaluation as formulas.

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
_RISKY = frozenset("'=+-@\t\r")
"""First characters of the texts that _FORMULA may match."""
_ESCAPED = re.compile(r"'+[=+\-@\t\r]")


def escape(cell: Any) -> Any:
    """Return `cell`, with a leading apostrophe if a spreadsheet would take it for a formula.

    Numbers, also those written as text such as "-3.5", are returned as they are.
    """
    if not isinstance(cell, str) or not _FORMULA.match(cell):
        return cell
    return cell if _is_number(cell) else f"'{cell}"


def unescape(cell: str) -> str:
    """Return the text that `escape` turned into `cell`."""
    return cell[1:] if _ESCAPED.match(cell) else cell


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return CSV text of `header` and `rows`, every cell escaped, lines ending in a line feed."""
    return "".join(map(csv_line, (header, *rows)))


def dicts_to_csv(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return CSV text of `rows`, which map columns to cells; a missing cell is empty."""
    columns = list(columns)
    table = []
    for row in rows:
        table.append([row.get(column, "") for column in columns])
    return to_csv(columns, table)


def read_csv(path: Path) -> list[list[str]]:
    """Return the rows of the CSV file at `path`, header included, with their cells unescaped."""
    rows = csv.reader(_open(path))
    return [list(map(unescape, row)) for row in rows]


def read_dicts(path: Path) -> Iterator[dict[str | None, Any]]:
    """Yield the rows of the CSV file at `path` as `csv.DictReader` does, with cells unescaped."""
    for row in csv.DictReader(_open(path)):
        # Where a row and the header differ in length, csv has a list under None, or None in a cell.
        yield {_unescape_text(column): _unescape_text(cell) for column, cell in row.items()}


def csv_line(row: Sequence[Any]) -> str:
    """Return a row, its cells escaped, as a line that ends in a line feed."""
    cells = []
    for cell in row:
        # Most cells are safe by their first character; a call for each would cost half the time.
        is_safe = not isinstance(cell, str) or cell[:1] not in _RISKY
        cells.append(cell if is_safe else escape(cell))
    text = io.StringIO()
    # csv quotes a cell with "\r" only if "\r" is part of its own line end, hence CRLF first.
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _unescape_text(cell: Any) -> Any:
    return unescape(cell) if isinstance(cell, str) else cell


def _open(path: Path) -> io.StringIO:
    """Return the text of the file with its line ends unchanged, as the csv module expects."""
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
