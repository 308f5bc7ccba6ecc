"""Put the folders of an earlier run back if a start fails.

BasicSR renames experiments/NAME and tb_logger/NAME before it builds datasets and model. Most errors
are found earlier (`wxr_plugin.options.checks`); for the others, the renaming is undone.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WRITTEN_AT_START = ("*.log", "*.yml", "*.yaml", "network_*.txt", "events.out.tfevents.*")
"""Files that every start writes; a folder with nothing else holds no results."""

_renamed: list[tuple[Path, Path]] = []
"""(folder of this run, new name of the earlier run's folder), for a start that may still fail."""


@contextmanager
def undone_on_failure() -> Iterator[None]:
    """Put renamed folders back if the block raises before `confirm` is called.

    A folder of the failed start that holds WRITTEN_AT_START alone is removed; any other one is
    renamed to NAME_failed_TIME.
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
    """Keep the renamed folders as they are, since the run has begun."""
    _renamed.clear()


def note_archives(path: str, before: set[Path]) -> None:
    """Remember the new name of the folder `path`: the archive that did not exist `before`."""
    for archive in archives(path) - before:
        _renamed.append((Path(path), archive))


def archives(path: str) -> set[Path]:
    """Return the folders to which BasicSR has renamed `path`."""
    folder = Path(path)
    if not folder.parent.is_dir():
        return set()
    return set(folder.parent.glob(f"{folder.name}_archived_*"))


def _put_back(folder: Path, earlier: Path) -> None:
    failed = folder.with_name(earlier.name.replace("_archived_", "_failed_"))
    try:
        if folder.exists() and _holds_results(folder):
            folder.rename(failed)
            print(f"The files of the failed start are kept in {failed}", file=sys.stderr)
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
    """Return whether a folder holds a file that not every start writes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return not all(_is_written_at_start(file) for file in files)


def _is_written_at_start(file: Path) -> bool:
    return any(file.match(pattern) for pattern in WRITTEN_AT_START)
