"""A table of a report, without a form: HTML, Markdown and LaTeX write it each its way."""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from wxr_plugin.benchmark.published import Figure

NONE = "–"
"""What stands where there is no figure."""


class Cell(msgspec.Struct):
    """One cell: `text` as it is shown, marked `best` or `second`."""

    text: str = NONE
    rank: Literal["", "best", "second"] = ""
    worse: bool = False
    """Worse, in the digits shown, than the input on the same images."""
    partial: bool = False
    """The mean of fewer images than the set has."""
    count: int = 0
    """Images that it is the mean of; 0 for an average over sets."""
    published: Figure | None = None
    difference: str = ""
    """Ours minus the published figure, with a sign."""


class Heading(msgspec.Struct, frozen=True):
    """A column: `better` tells which end is the good one, "" that none is."""

    title: str
    better: Literal["higher", "lower", ""] = ""

    @property
    def arrow(self) -> str:
        """↑ where higher is better, ↓ where lower is."""
        return {"higher": "↑", "lower": "↓", "": ""}[self.better]


class Table(msgspec.Struct):
    """Rows of a name and cells, below columns that `groups` (a title and how many columns it spans) gather."""

    title: str
    columns: list[Heading]
    rows: list[tuple[str, list[Cell]]]
    groups: list[tuple[str, int]] = []
    notes: list[str] = []
    corner: str = "Method"
    """Heading of the names."""
    texts: bool = False
    """The cells are texts, not figures."""


def figure_text(value: float, digits: int, sign: bool = False) -> str:
    """A figure with its digits, a dash where there is none; a minus is U+2212."""
    if not math.isfinite(value):
        return NONE
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text.replace("-", "−") if float(text) else text.replace("-", "+" if sign else "")


def difference(value: float, digits: int, figure: Figure) -> str:
    """Ours, as it is shown, minus the published figure, to the fewer of both digits."""
    return figure_text(round(value, digits) - figure.value, min(digits, figure.digits), sign=True)


def rank(cells: Sequence[Cell], values: Sequence[float], heading: Heading, digits: int) -> None:
    """Mark the best cells of a column, and the second where there are three different figures at least.

    Figures that look alike with their digits share a place. Give only the cells that may be ranked.
    """
    shown = [round(value, digits) for value in values if math.isfinite(value)]
    order = sorted(set(shown), reverse=heading.better == "higher")
    if len(shown) < 2 or not heading.better:
        return
    for cell, value in zip(cells, values):
        place = order.index(round(value, digits)) if math.isfinite(value) else None
        if place == 0:
            cell.rank = "best"
        elif place == 1 and len(order) > 2:
            cell.rank = "second"
