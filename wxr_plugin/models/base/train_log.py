"""The log of a training as data: a JSON line for each time that it was printed.

Each line is `iteration` and the figures of BasicSR's log line: losses, seconds, and those of the
model. A training that resumes at an earlier checkpoint prints some iterations again; their last
line counts.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only

FILE = "train_log.jsonl"
ITERATION = "iteration"

Figures = dict[str, float]
"""Name -> value."""


@master_only
def append(folder: Path, iteration: int, figures: Mapping[str, float]) -> None:
    """Add the figures of `iteration` to the log in the experiment's folder."""
    # It begins with a line break, which ends a line that a kill cut short.
    line = "\n" + json.dumps({ITERATION: iteration, **_finite(figures)})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / FILE).open("a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        # A full disk must not end a training here: the next checkpoint reports it.
        get_root_logger().warning(f"{folder / FILE}: {error}")


def read(folder: str | Path) -> dict[int, Figures]:
    """Return iteration -> figures, by rising iteration; empty without a log.

    A line that a kill cut short is left out.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return {}
    entries = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        figures = _entry(line)
        if figures:
            entries[int(figures.pop(ITERATION))] = figures
    return dict(sorted(entries.items()))


def _entry(line: str) -> Figures:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    is_entry = isinstance(entry, dict) and isinstance(entry.get(ITERATION), int)
    return entry if is_entry else {}


def _finite(figures: Mapping[str, float]) -> Figures:
    """Return the figures without NaN and infinity, which JSON does not have."""
    return {name: float(value) for name, value in figures.items() if math.isfinite(value)}
