"""Rows of the benchmark: what a part measured, what failed and what was skipped."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

COLUMNS = ("part", "what", "value", "unit", "quartiles", "n", "peak MiB", "note")
TEST_UNIT = "s, test"


@dataclass
class Row:
    """One figure, or the reason why there is none.

    Attributes:
        part: the part of the benchmark that made it.
        name: what was measured.
        status: "failed" and "skipped" rows have no value; their `note` says why.
        value, unit: the median of the repetitions.
        low, high: their quartiles.
        repetitions: number of repetitions behind the value.
        peak_mib: most device memory that torch had allocated during them, in MiB; None on a CPU.
        note: ratios, conditions, errors.
    """

    part: str
    name: str
    status: Literal["ok", "failed", "skipped"] = "ok"
    value: float | None = None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    repetitions: int = 0
    peak_mib: float | None = None
    note: str = ""


def append(file: Path, row: Row) -> None:
    """Add `row` to a file of JSON lines, so that it survives whatever happens next."""
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(row)) + "\n")


def read(file: Path) -> list[Row]:
    """Return the rows of a file of JSON lines; a last line that was cut off is left out."""
    lines = file.read_text(encoding="utf-8").split("\n")[:-1] if file.exists() else []
    return [Row(**json.loads(line)) for line in lines]


def table(rows: Iterable[Row]) -> str:
    """Return `rows` as a Markdown table in which the tests that passed are counted, not listed."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *map(_cells, _with_tests_counted(rows))]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _with_tests_counted(rows: Iterable[Row]) -> list[Row]:
    """Replace the passed cases of each test function by one row with their number and time."""
    shown: dict[tuple[str, str], Row] = {}
    for row in rows:
        passed = row.unit == TEST_UNIT and row.status == "ok"
        name = row.name.partition("[")[0] if passed else row.name
        first = shown.setdefault((row.status, row.part + name), row)
        if first is row and passed:
            shown[row.status, row.part + name] = Row(**asdict(row) | {"name": name})
        elif passed:
            first.value += row.value
            first.repetitions += row.repetitions
    return list(shown.values())


def _cells(row: Row) -> list[str]:
    note = row.note if row.status == "ok" else f"{row.status}: {row.note}"
    quartiles = f"{_number(row.low)} to {_number(row.high)}" if row.low is not None else ""
    count = str(row.repetitions) if row.repetitions else ""
    peak = f"{row.peak_mib:.0f}" if row.peak_mib is not None else ""
    cells = [row.part, row.name, _number(row.value), row.unit, quartiles, count, peak, note]
    return [cell.replace("|", "\\|").replace("\n", " ") for cell in cells]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
