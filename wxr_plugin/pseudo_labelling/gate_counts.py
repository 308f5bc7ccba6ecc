"""The counts of the gate as data: a JSON line for each checkpoint in the experiment's folder."""

from pathlib import Path

import msgspec

from wxr_plugin.errors import WxrError
from wxr_plugin.utils import files

FILE = "gate_counts.jsonl"


class GateCounts(msgspec.Struct):
    """Counts from the start of a training up to `iteration`, over all ranks."""

    iteration: int
    rated: int
    """Images that got a rating."""
    accepted: int
    """Images of the teacher that became a pseudo-label."""
    failures: int
    """Images that the rater could not rate."""
    labels: int
    """Pseudo-labels with a rating by this training's rater."""
    mean_rating: float | None
    """Their mean rating in [1, 5]; None without any."""
    compared: int = 0
    """Images of the teacher that were compared with a pseudo-label."""


def gate_counts(folder: str | Path) -> list[GateCounts]:
    """Return the counts of the training in the experiment's folder, by rising iteration.

    The last entry has the totals; differences between entries are those of an interval between
    checkpoints. Empty if the training has no pseudo-labels or has not saved yet.

    Raises:
        WxrError: the file is damaged.
    """
    path = Path(folder) / FILE
    lines = path.read_bytes().splitlines() if path.is_file() else []
    try:
        return [msgspec.json.decode(line, type=GateCounts) for line in lines]
    except msgspec.DecodeError as error:
        raise WxrError(f"{path}: damaged ({error}); remove it") from error


def record(folder: Path, counts: GateCounts) -> None:
    """Write `counts` in place of all entries at or after their iteration.

    A resumed training thus drops the entries of the iterations that were lost, and counts nothing
    twice.
    """
    # The whole file is replaced: a line that is appended could be cut short by a kill.
    earlier = [entry for entry in gate_counts(folder) if entry.iteration < counts.iteration]
    lines = [msgspec.json.encode(entry).decode() + "\n" for entry in (*earlier, counts)]
    files.write_text(folder / FILE, "".join(lines))


def clear(folder: Path) -> None:
    """Remove the entries of an earlier training in the same folder."""
    (folder / FILE).unlink(missing_ok=True)
