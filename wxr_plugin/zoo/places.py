"""Places of the files of a row: where they are searched, and which may be meant."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NoReturn

from wxr_plugin.errors import WxrError
from wxr_plugin.zoo.rows import Row, rows

WEIGHTS = Path("experiments") / "pretrained_models"
"""Folder of weights from elsewhere, as in BasicSR's projects."""


def places(row: Row, official: str, root: Path = WEIGHTS) -> list[Path]:
    """Return the paths below `root` at which a file of `row` is searched.

    These are its official name; a folder or a file with the row's name; and the last part of its
    name if no other row has a file of that name.
    """
    last = Path(official).name
    folder = root / row.name
    paths = [root / official, folder / last]
    # A file with the row's name and any suffix; with several files it would be ambiguous.
    if not row.files:
        matching = root.glob(f"{row.name}.*")
        paths += sorted(path for path in matching if path.is_file())
    owners = _owners()[last]
    if len(owners) == 1:
        paths.append(root / last)
    return paths


def existing(row: Row, name: str, root: Path = WEIGHTS) -> Path | None:
    """Return the path below `root` of a file of `row`, unread; None if it does not exist.

    `name` is its official name, or that of the row if it has none.
    """
    # Further files (`Row.further`) have one place; a file with the row's name is its network.
    if name in row.further:
        return _first_file([root / name])
    return _first_file(places(row, name, root))


def available(row: Row) -> list[Path]:
    """Return the row's files in WEIGHTS, unread; empty unless all exist."""
    files = []
    for official in row.official or (row.name,):
        file = existing(row, official)
        if file is None:
            return []
        files.append(file)
    return files


def single_file(row: Row, given: Sequence[Path]) -> Path:
    """Return the file of a row that has one: that in `given`, or the official one.

    Raises:
        WxrError: several files are given, or it does not exist; the message gives its source.
    """
    if len(given) > 1:
        raise WxrError(f"{row.name} is one file, not {len(given)}")
    official = row.file or row.name
    if not given:
        paths = places(row, official)
    elif given[0].is_dir():
        folder = given[0]
        paths = [folder / official, folder / Path(official).name]
    else:
        paths = list(given)
    file = _first_file(paths)
    if file is None:
        _refuse_missing(row, official, given)
    return file


def candidates(row: Row, given: Sequence[Path]) -> dict[str, list[Path]]:
    """Return for each official name of a row with several files the files that may be meant.

    Raises:
        WxrError: there are none for a name; the message gives the source.
    """
    by_name = {}
    for official in row.official:
        paths = list(_ranked(row, official, given))
        if not paths:
            folders = [path for path in given if path.is_dir()]
            _refuse_missing(row, official, folders)
        by_name[official] = paths
    return by_name


def further_file(row: Row, name: str, folder: Path, option: str | None = None) -> Path:
    """Return a file of `row` that holds no weights of its network, such as its guide's.

    It lies in `folder`, next to the files with the weights, or in WEIGHTS.

    Raises:
        WxrError: it does not exist; the message gives its source, and `option` as a way to name it.
    """
    for path in (folder / name, WEIGHTS / name):
        if path.is_file():
            return path
    how = f", or give its path with {option}" if option else ""
    raise WxrError(f"{WEIGHTS / name}: no such file; {_fetch(row)}{how}")


def _ranked(row: Row, official: str, given: Sequence[Path]) -> Iterator[Path]:
    """Yield existing files that may be `official`, by decreasing probability.

    First files of its name, then all that were given, then those of the row's other files.
    """
    files, folders = [], []
    for path in given:
        if path.is_file():
            files.append(path)
        elif path.is_dir():
            folders.append(path)
    folders += [file.parent for file in files]
    last = Path(official).name
    ranked = [file for file in files if file.name == last]
    for folder in folders:
        ranked.append(folder / official)
        ranked.append(folder / last)
    ranked += files
    siblings = [Path(name).name for name in row.official]
    for folder in folders:
        ranked += [folder / name for name in siblings]
    for name in (official, *row.official):
        ranked += places(row, name)
    # A dict removes duplicates and keeps the order.
    for path in dict.fromkeys(ranked):
        if path.is_file():
            yield path


def _first_file(paths: Sequence[Path]) -> Path | None:
    for path in paths:
        if path.is_file():
            return path
    return None


def _refuse_missing(row: Row, official: str, given: Sequence[Path]) -> NoReturn:
    if not row.official:
        expected = given[0] if given else WEIGHTS / f"{row.name}.pth"
        raise WxrError(
            f"{expected}: no such file; the authors name none, {_fetch(row)}, or give yours with "
            "--checkpoint"
        )
    expected = (given[0] if given else WEIGHTS) / official
    raise WxrError(f"{expected}: no such file; {_fetch(row)}, or give its path with --checkpoint")


def _fetch(row: Row) -> str:
    """Return the part of a message that says how to get the files of a row."""
    return f"fetch it from {row.source} with `wxr zoo get {row.name}`"


@cache
def _owners() -> dict[str, set[tuple[str, str]]]:
    """Return the last part of a file's name -> (official name, source) of the files with it."""
    owners: dict[str, set[tuple[str, str]]] = {}
    for row in rows().values():
        for official in row.official or (row.name,):
            last = Path(official).name
            of_name = owners.setdefault(last, set())
            of_name.add((official, row.source))
    return owners
