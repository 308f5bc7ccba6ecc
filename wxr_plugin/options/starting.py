"""A start that fails leaves the folders of the run before it where they were.

BasicSR renames experiments/NAME and tb_logger/NAME before it builds datasets and model. What can be
checked earlier is (`wxr_plugin.options.checks`); for the rest, the renaming is undone when a start
fails.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WRITTEN_AT_START = ("*.log", "*.yml", "*.yaml", "network_*.txt", "events.out.tfevents.*")
"""Files that every start writes; a folder with these alone holds no results."""

_renamed: list[tuple[Path, Path]] = []
"""(folder of this run, where the earlier run of that name went), of a start that may still fail."""


@contextmanager
def undone_on_failure() -> Iterator[None]:
    """Put renamed folders back if the block raises before `confirm` is called.

    What the failed start wrote is removed if it is only WRITTEN_AT_START, else kept as
    NAME_failed_TIME.
    """
    _renamed.clear()
    try:
        yield
    except BaseException:
        for folder, earlier in _renamed:
            _put_back(folder, earlier)
        raise
    finally:
        _renamed.clear()


def confirm() -> None:
    """Keep the renamed folders as they are: the run has begun."""
    _renamed.clear()


def note_archives(path: str, before: set[Path]) -> None:
    """Remember where the folder `path` was renamed to: to the archive that was not there `before`."""
    _renamed.extend((Path(path), archive) for archive in archives(path) - before)


def archives(path: str) -> set[Path]:
    """Return the folders that BasicSR made by renaming `path`."""
    folder = Path(path)
    return set(folder.parent.glob(f"{folder.name}_archived_*")) if folder.parent.is_dir() else set()


def _put_back(folder: Path, earlier: Path) -> None:
    failed = folder.with_name(earlier.name.replace("_archived_", "_failed_"))
    try:
        if folder.exists() and _holds_results(folder):
            folder.rename(failed)
            print(f"What the failed start wrote is kept as {failed}", file=sys.stderr)
        elif folder.exists():
            shutil.rmtree(folder)
        earlier.rename(folder)
    except OSError as error:
        print(
            f"{earlier} holds the earlier run; it could not be renamed to {folder}: {error}",
            file=sys.stderr,
        )
    else:
        print(f"The start failed; the earlier run is still in {folder}", file=sys.stderr)


def _holds_results(folder: Path) -> bool:
    """Return whether a folder holds more than what every start writes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return not all(any(path.match(pattern) for pattern in WRITTEN_AT_START) for path in files)
