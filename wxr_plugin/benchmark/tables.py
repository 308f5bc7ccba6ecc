"""A table of a report, independent of its format (HTML, Markdown or LaTeX)."""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from wxr_plugin.benchmark.published import Figure

NONE = "–"
"""Text of a cell without a figure."""


class Cell(msgspec.Struct):
    """One cell: the `text` that is shown, and its rank in the column."""

    text: str = NONE
    rank: Literal["", "best", "second"] = ""
    worse: bool = False
    """Whether it is worse than the input on the same images, in the digits shown."""
    partial: bool = False
    """Whether it is the mean of fewer images than the set has."""
    count: int = 0
    """Number of images that it is the mean of; 0 for an average over sets."""
    published: Figure | None = None
    difference: str = ""
    """Our figure minus the published one, with a sign."""


class Heading(msgspec.Struct, frozen=True):
    """Heading of a column; `better` is empty if neither end is better."""

    title: str
    better: Literal["higher", "lower", ""] = ""

    @property
    def arrow(self) -> str:
        """The mark of `better`: ↑, ↓ or empty."""
        return {"higher": "↑", "lower": "↓", "": ""}[self.better]


class Table(msgspec.Struct):
    """Columns, and rows that have a name and a cell for each column.

    `groups` are headings above the columns: title and number of columns that it spans.
    """

    title: str
    columns: list[Heading]
    rows: list[tuple[str, list[Cell]]]
    groups: list[tuple[str, int]] = []
    notes: list[str] = []
    corner: str = "Method"
    """Heading of the column of names."""
    texts: bool = False
    """Whether the cells are texts, not figures."""


def figure_text(value: float, digits: int, sign: bool = False) -> str:
    """Return a figure with its digits, or NONE if it is not finite; a minus is U+2212."""
    if not math.isfinite(value):
        return NONE
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    minus = "−"
    if float(text) == 0:  # rounding gives -0.00
        minus = "+" if sign else ""
    return text.replace("-", minus)


def difference(value: float, digits: int, figure: Figure) -> str:
    """Return our figure as it is shown minus the published one, to the fewer of both digits."""
    difference = round(value, digits) - figure.value
    fewer_digits = min(digits, figure.digits)
    return figure_text(difference, fewer_digits, sign=True)


def rank(cells: Sequence[Cell], values: Sequence[float], heading: Heading, digits: int) -> None:
    """Mark the best cells of a column, and the second best if it has three different figures.

    Figures that are equal in the digits shown share a place.

    Args:
        cells: the cells that may be ranked; changed in place.
        values: their figures; those that are not finite get no rank.
        heading: says which end is better.
        digits: digits that are shown.
    """
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2 or not heading.better:
        return
    figures = {round(value, digits) for value in finite}
    best_first = sorted(figures, reverse=heading.better == "higher")
    best = best_first[0]
    # Of two different figures the second best is the worst.
    second = best_first[1] if len(best_first) > 2 else None
    for cell, value in zip(cells, values):
        figure = round(value, digits) if math.isfinite(value) else None
        if figure == best:
            cell.rank = "best"
        elif figure is not None and figure == second:
            cell.rank = "second"
