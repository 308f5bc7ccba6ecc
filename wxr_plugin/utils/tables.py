"""Tables on stdout: drawn with rich on a terminal, as whole aligned lines in pipes and files."""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

Cell = str | tuple[str, str]
"""Text of a cell, or the text and its style on a terminal, such as bold or red."""
GAP = "  "
"""Space between two columns."""
BAR_WIDTH = 40
"""Longest bar of a histogram, in characters."""


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    title: str = "",
    numbers: Collection[str] = (),
    sections: bool = False,
) -> None:
    """Print a table on stdout, drawn on a terminal and plain elsewhere.

    Rich would fold a table into 80 columns where there is no terminal, which breaks grep and cut.
    Colours follow NO_COLOR.

    Args:
        headings: of the columns; a table whose headings are all empty has no head.
        rows: cells are shown as they are: nothing in them is markup.
        title: line above the table.
        numbers: headings of the columns that are aligned to the right.
        sections: on a terminal, draw a line where the first cell changes.
    """
    from rich.console import Console

    rows = list(rows)
    console = Console()
    if console.is_terminal:
        console.print(drawn(console.width, headings, rows, title, numbers, sections))
        return
    for line in filter(None, [title, *plain_lines(headings, rows, numbers)]):
        print(line)


def print_pairs(pairs: Iterable[tuple[str, Cell]], title: str = "") -> None:
    """Print names and values, one pair a line, indented below a title."""
    indent = GAP if title else ""
    print_table(["", ""], [(f"{indent}{name}", value) for name, value in pairs], title)


def drawn(
    width: int,
    headings: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    title: str = "",
    numbers: Collection[str] = (),
    sections: bool = False,
) -> "Table":
    """Return the table of `print_table` for a terminal of `width` columns."""
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table

    table = Table(
        title=_text((title, "bold")) if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD if any(headings) else None,
        show_header=any(headings),
        show_edge=False,
        pad_edge=False,
    )
    # Names in the first column stay whole, for copying, unless they leave no room for the others.
    names = [headings[0], *(_plain(row[0]) for row in rows)]
    is_whole = max(map(cell_len, names)) <= width // 2
    for place, heading in enumerate(headings):
        no_wrap = place == 0 and is_whole
        justify: Literal["left", "right"] = "right" if heading in numbers else "left"
        # Folded: an ellipsis would hide the end of a path.
        table.add_column(_text(heading), justify=justify, overflow="fold", no_wrap=no_wrap)
    before = rows[0][0] if rows else ""
    for row in rows:
        if sections and row[0] != before:
            table.add_section()
        before = row[0]
        table.add_row(*map(_text, row))
    return table


def plain_lines(
    headings: Sequence[str], rows: Iterable[Sequence[Cell]], numbers: Collection[str] = ()
) -> list[str]:
    """Return the lines of a table without styles: aligned columns, two spaces between them."""
    from rich.cells import cell_len

    table = [list(headings)] if any(headings) else []
    for row in rows:
        table.append(list(map(_plain, row)))
    # Wide characters, as of Chinese file names, take two columns.
    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        cells = []
        for heading, cell, width in zip(headings, row, widths):
            space = " " * (width - cell_len(cell))
            cells.append(space + cell if heading in numbers else cell + space)
        lines.append(GAP.join(cells).rstrip())
    return lines


def print_histogram(counts: Sequence[tuple[str, int]]) -> None:
    """Print a bar for each interval and its count; the longest bar has BAR_WIDTH characters."""
    scale = BAR_WIDTH / max(count for _, count in counts)
    rows = []
    for interval, count in counts:
        # At least one character for a count above 0.
        length = max(round(count * scale), count > 0)
        rows.append((f"{GAP}{interval}", ("█" * length, "cyan"), str(count)))
    print_table(["", "", ""], rows)


def _plain(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]


def _text(cell: Cell) -> "Text":
    """Return a cell as text of rich, in which brackets are no markup."""
    from rich.text import Text

    text, style = (cell, "") if isinstance(cell, str) else cell
    return Text(text, style)
