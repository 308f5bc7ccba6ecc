"""Output of `wxr label init`: a summary on the terminal and as CSV."""

import math
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from wxr_plugin.labels.outcomes import InitResult, Line, summary
from wxr_plugin.labels.report import print_table
from wxr_plugin.utils import files
from wxr_plugin.utils.csv_text import to_csv

NAMED = 5
"""Number of photos without any rating that are named."""


def print_result(result: InitResult, store: Path) -> None:
    """Print the failures, the summary as a table, and the counts in one line."""
    for line in result.failed:
        print(f"failed: {line}")
    earlier = [line for line in result.failed if line.endswith("(earlier)")]
    if earlier:
        print("--retry-failed rates again what failed earlier")
    count = len(result.outcomes)
    unrated = result.unrated
    if unrated:
        names = ", ".join(unrated[:NAMED])
        if len(unrated) > NAMED:
            names += ", …"
        print(f"no rater rated {len(unrated)} of {count}: {names}; they are unchanged")
    lines = summary(result)
    if lines:
        print_table(_table(lines, result.raters))
    voted = count - len(unrated)
    print(f"{store}: {voted} pseudo-labels chosen, {result.stored} of them new or changed")


def write_csv(result: InitResult, path: Path) -> None:
    """Write the summary to the CSV file `path`, a row for each line of it."""
    header = _header(result.raters)
    rows = []
    for line in summary(result):
        counts = [line.images, line.won, line.share, line.mean_rank]
        ratings = [_cell(rating) for rating in line.ratings.values()]
        rows.append([line.weather, line.method, *counts, *ratings])
    text = to_csv(header, rows)
    files.write_text(path, text)


_COLUMNS = ("weather", "method", "images", "won", "share", "mean rank")


def _table(lines: Sequence[Line], raters: Sequence[str]) -> Table:
    """Return the lines as a table with a section for each weather."""
    table = Table(*_header(raters))
    weather = lines[0].weather
    for line in lines:
        if line.weather != weather:
            table.add_section()
        weather = line.weather
        cells = [line.weather, line.method, f"{line.images}", f"{line.won}"]
        cells.append(f"{line.share:.1%}")
        cells.append(f"{line.mean_rank:.2f}")
        cells += [_shown(rating) for rating in line.ratings.values()]
        table.add_row(*cells)
    return table


def _header(raters: Sequence[str]) -> list[str]:
    of_raters = [f"rating {name}" for name in raters]
    return [*_COLUMNS, *of_raters]


def _shown(value: float) -> str:
    """Return a rating as text; a rater that rated nothing has none."""
    if math.isnan(value):
        return "-"
    return f"{value:.3f}"


def _cell(value: float) -> float | str:
    # An empty cell is a missing value for every reader of CSV.
    if math.isnan(value):
        return ""
    return value
