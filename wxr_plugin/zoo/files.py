"""Search for the files of a row, and their weights under the names of the row's network."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from wxr_plugin.checkpoints.containers import find_weights
from wxr_plugin.checkpoints.fitting import differences, shapes_of
from wxr_plugin.checkpoints.reading import CheckpointError, read_content
from wxr_plugin.errors import WxrError
from wxr_plugin.zoo.rows import Part, Row, rows
from wxr_plugin.zoo.shapes import Shapes, aligned, fits, network_shapes, networks

WEIGHTS = Path("experiments") / "pretrained_models"
"""Folder of weights from elsewhere, as in BasicSR's projects."""


class RowFiles(NamedTuple):
    """Files of a row that exist and fit."""

    network: dict[str, Any]
    """The `network_g` block with the arguments that fit."""
    files: tuple[Path, ...]
    """One for each part of the row, or a single one with the whole network."""


def find_files(row: Row, given: Sequence[Path] = ()) -> RowFiles:
    """Find the files of `row` among those `given`, or the official ones in WEIGHTS.

    Args:
        row: row of the zoo.
        given: files, or folders that hold them.

    Raises:
        WxrError: a file does not exist; the message gives its source.
        CheckpointError: a file is for another network; the message gives the differences.
    """
    for path in given:
        if not path.exists():
            raise WxrError(f"{path}: no such file or folder")
    if row.files and not _is_whole_network(row, given):
        return _find_parts(row, given)
    file = _single(row, given)
    for network in networks(row):
        expected = network_shapes(network)
        if fits(_read(row, file, expected), expected):
            return RowFiles(network, (file,))
    return _refuse(row, file, network_shapes(next(networks(row))))


def read_weights(row: Row, row_files: RowFiles) -> dict[str, Tensor]:
    """Return the weights of all files under the names of the network."""
    expected = network_shapes(row_files.network)
    if len(row_files.files) == 1 and len(row.files) != 1:
        return _read(row, row_files.files[0], expected)
    joined: dict[str, Tensor] = {}
    for part, file in zip(row.files, row_files.files, strict=True):
        weights = _read(part, file, part_shapes(row, part, expected))
        joined |= {part.into + name: tensor for name, tensor in weights.items()}
    return joined


def part_shapes(row: Row, part: Part, expected: Shapes) -> Shapes:
    """Return those of the network's shapes that `part` holds, under the names of its file.

    A part without `into` holds the weights that belong to no other part.
    """
    if part.into:
        names = [name for name in expected if name.startswith(part.into)]
    else:
        prefixes = tuple(sibling.into for sibling in row.files if sibling.into)
        names = [name for name in expected if not name.startswith(prefixes)]
    return {name.removeprefix(part.into): expected[name] for name in names}


def places(row: Row, official: str) -> list[Path]:
    """Return the paths at which a file of `row` is searched.

    These are its official name; a folder or a file with the row's name; and the last part of its
    name if no other row has a file of that name.
    """
    last = Path(official).name
    by_row: list[Path] = []
    if not row.files:
        by_row = sorted(path for path in WEIGHTS.glob(f"{row.name}.*") if path.is_file())
    unique = [WEIGHTS / last] if len(_owners()[last]) == 1 else []
    return [WEIGHTS / official, WEIGHTS / row.name / last, *by_row, *unique]


def available(row: Row) -> list[Path]:
    """Return the row's files in WEIGHTS, unread; empty unless all exist."""
    files = []
    for official in row.official or (row.name,):
        file = _first_file(places(row, official))
        if file is None:
            return []
        files.append(file)
    return files


def _first_file(paths: Sequence[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _single(row: Row, given: Sequence[Path]) -> Path:
    """Return the file of a row that has one. Raises WxrError if it does not exist."""
    if len(given) > 1:
        raise WxrError(f"{row.name} is one file, not {len(given)}")
    official = row.file or row.name
    choices = list(given) or places(row, official)
    if given and given[0].is_dir():
        choices = [given[0] / official, given[0] / Path(official).name]
    return _first_file(choices) or _missing(row, official, given)


def _missing(row: Row, official: str, given: Sequence[Path]) -> Path:
    if not row.official:
        expected = given[0] if given else WEIGHTS / f"{row.name}.pth"
        raise WxrError(
            f"{expected}: no such file; the authors name none, see {row.source}, or give yours "
            f"with --checkpoint"
        )
    expected = (given[0] if given else WEIGHTS) / official
    raise WxrError(
        f"{expected}: no such file; fetch it from {row.source}, or give its path with --checkpoint"
    )


def _find_parts(row: Row, given: Sequence[Path]) -> RowFiles:
    """Find the files of a row that has several.

    Files may have other names than the official ones, so they are assigned by their shapes.
    """
    choices = {official: list(_choices(row, official, given)) for official in row.official}
    for official, paths in choices.items():
        if not paths:
            _missing(row, official, [path for path in given if path.is_dir()])
    for network in networks(row):
        files = _assigned(row, network_shapes(network), choices)
        if files:
            return RowFiles(network, tuple(files[part.file] for part in row.files))
    expected = network_shapes(next(networks(row)))
    for part in row.files:
        if not any(_part_fits(row, part, path, expected) for path in choices[part.file]):
            _refuse(part, choices[part.file][0], part_shapes(row, part, expected), row)
    raise WxrError(f"{row.name}: no choice of files for {', '.join(row.official)} fits the network")


def _choices(row: Row, official: str, given: Sequence[Path]) -> Iterator[Path]:
    """Yield existing files that may be `official`, by decreasing probability.

    First files of its name, then all that were given, then those of the row's other files.
    """
    files = [path for path in given if path.is_file()]
    folders = [path for path in given if path.is_dir()]
    folders += [path.parent for path in files]
    last = Path(official).name
    ranked = [path for path in files if path.name == last]
    for folder in folders:
        ranked += [folder / official, folder / last]
    ranked += files
    for folder in folders:
        ranked += [folder / Path(name).name for name in row.official]
    for name in (official, *row.official):
        ranked += places(row, name)
    # dict.fromkeys removes duplicates and keeps the order.
    return iter(dict.fromkeys(path for path in ranked if path.is_file()))


def _assigned(row: Row, expected: Shapes, choices: dict[str, list[Path]]) -> dict[str, Path] | None:
    """Return official name -> the first file that fits all of its parts; None if one has none."""
    assigned: dict[str, Path] = {}
    for official, paths in choices.items():
        parts = [part for part in row.files if part.file == official]
        # Two files may have the same shapes, but each is taken once.
        for path in paths:
            if path in assigned.values():
                continue
            if all(_part_fits(row, part, path, expected) for part in parts):
                assigned[official] = path
                break
        else:
            return None
    return assigned


def _part_fits(row: Row, part: Part, file: Path, expected: Shapes) -> bool:
    shapes = part_shapes(row, part, expected)
    return fits(_read(part, file, shapes), shapes)


def _is_whole_network(row: Row, given: Sequence[Path]) -> bool:
    """Return whether a single given file holds the whole network of a row with several parts."""
    if len(given) != 1 or not given[0].is_file():
        return False
    for network in networks(row):
        expected = network_shapes(network)
        if fits(_read(row, given[0], expected), expected):
            return True
    return False


def _read(source: Row | Part, file: Path, expected: Shapes) -> dict[str, Tensor]:
    """Read the weights of a file, at the row's or part's key or anywhere in it.

    The numbers stay in the file until they are used.
    """
    content = read_content(file, mapped=True)
    try:
        weights = find_weights(content, source.key, file)
    except CheckpointError:
        # A file that was saved again, for example by `wxr zoo convert`, has another container.
        weights = find_weights(content, None, file)
    return aligned(weights, expected, source.prefix)


def _refuse(source: Row | Part, file: Path, expected: Shapes, row: Row | None = None) -> RowFiles:
    weights = _read(source, file, expected)
    difference = differences(shapes_of(weights), expected)
    name = (row or source).name
    raise CheckpointError(
        f"{file} does not fit the network of {name}: {difference}. `wxr zoo verify {file}` reports "
        f"the network that it is for"
    )


@cache
def _owners() -> dict[str, set[tuple[str, str]]]:
    """Return the last part of a file's name -> (official name, source) of the files with it."""
    owners: dict[str, set[tuple[str, str]]] = {}
    for row in rows().values():
        for official in row.official or (row.name,):
            owners.setdefault(Path(official).name, set()).add((official, row.source))
    return owners
