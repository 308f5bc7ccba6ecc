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
    if any(line.endswith("(earlier)") for line in result.failed):
        print("--retry-failed rates again what failed earlier")
    if unrated := result.unrated:
        names = ", ".join(unrated[:NAMED]) + (", …" if len(unrated) > NAMED else "")
        print(
            f"no rater rated {len(unrated)} of {len(result.outcomes)}: {names}; they are unchanged"
        )
    if lines := summary(result):
        print_table(_table(lines, result.raters))
    voted = len(result.outcomes) - len(unrated)
    print(f"{store}: {voted} pseudo-labels chosen, {result.stored} of them new or changed")


def write_csv(result: InitResult, path: Path) -> None:
    """Write the summary to the CSV file `path`, a row for each line of it."""
    rows = []
    for line in summary(result):
        values = [line.weather, line.method, line.images, line.won, line.share, line.mean_rank]
        ratings = [_cell(rating) for rating in line.ratings.values()]
        rows.append([*values, *ratings])
    files.write_text(path, to_csv(_header(result.raters), rows))


_COLUMNS = ("weather", "method", "images", "won", "share", "mean rank")


def _table(lines: Sequence[Line], raters: Sequence[str]) -> Table:
    table = Table(*_header(raters))
    weather = lines[0].weather
    for line in lines:
        if line.weather != weather:
            table.add_section()
        weather = line.weather
        counts = f"{line.images}", f"{line.won}", f"{line.share:.1%}", f"{line.mean_rank:.2f}"
        ratings = [_shown(value) for value in line.ratings.values()]
        table.add_row(line.weather, line.method, *counts, *ratings)
    return table


def _header(raters: Sequence[str]) -> list[str]:
    return [*_COLUMNS, *(f"rating {name}" for name in raters)]


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _cell(value: float) -> float | str:
    return "" if math.isnan(value) else value
