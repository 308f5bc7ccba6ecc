"""Output of `wxr label init`: a summary on the terminal and as CSV."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wxr_plugin.labels.outcomes import InitResult, Line, summary
from wxr_plugin.utils import files
from wxr_plugin.utils.csv_text import to_csv
from wxr_plugin.utils.tables import print_table

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
        _print_lines(lines, result.raters)
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


def values(result: InitResult, store: Path) -> dict[str, Any]:
    """Return the outcome for JSON."""
    return {
        "store": store,
        "photos": len(result.outcomes),
        "stored": result.stored,
        "unrated": result.unrated,
        "failed": result.failed,
        "summary": summary(result),
    }


def _print_lines(lines: Sequence[Line], raters: Sequence[str]) -> None:
    """Print the lines as a table with a section for each weather."""
    header = _header(raters)
    rows = []
    for line in lines:
        cells = [line.weather, line.method, f"{line.images}", f"{line.won}"]
        cells.append(f"{line.share:.1%}")
        cells.append(f"{line.mean_rank:.2f}")
        cells += [_shown(rating) for rating in line.ratings.values()]
        rows.append(cells)
    print_table(header, rows, numbers=header[2:], sections=True)


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
