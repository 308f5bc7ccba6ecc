"""Search for the files of a row, and their weights under the names of the row's network."""

from collections.abc import Collection, Iterator, Sequence
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
        weights = _read(row, file, expected)
        if fits(weights, expected):
            return RowFiles(network, (file,))
    # The message compares with the row's own arguments, which come first.
    first = next(networks(row))
    return _refuse(row, file, network_shapes(first))


def read_weights(row: Row, row_files: RowFiles) -> dict[str, Tensor]:
    """Return the weights of all files under the names of the network."""
    expected = network_shapes(row_files.network)
    files = row_files.files
    is_whole = len(files) == 1 and len(row.files) != 1
    if is_whole:
        return _read(row, files[0], expected)
    joined: dict[str, Tensor] = {}
    for part, file in zip(row.files, files, strict=True):
        shapes = part_shapes(row, part, expected)
        weights = _read(part, file, shapes)
        for name, tensor in weights.items():
            full_name = part.into + name
            joined[full_name] = tensor
    return joined


def part_shapes(row: Row, part: Part, expected: Shapes) -> Shapes:
    """Return those of the network's shapes that `part` holds, under the names of its file.

    A part without `into` holds the weights that belong to no other part.
    """
    if part.into:
        names = [name for name in expected if name.startswith(part.into)]
    else:
        siblings = tuple(sibling.into for sibling in row.files if sibling.into)
        names = [name for name in expected if not name.startswith(siblings)]
    shapes = {}
    for name in names:
        # Without the prefix of the part, as its own file names the weights.
        shapes[name.removeprefix(part.into)] = expected[name]
    return shapes


def places(row: Row, official: str) -> list[Path]:
    """Return the paths at which a file of `row` is searched.

    These are its official name; a folder or a file with the row's name; and the last part of its
    name if no other row has a file of that name.
    """
    last = Path(official).name
    folder = WEIGHTS / row.name
    paths = [WEIGHTS / official, folder / last]
    # A file with the row's name and any suffix; with several files it would be ambiguous.
    if not row.files:
        matching = WEIGHTS.glob(f"{row.name}.*")
        paths += sorted(path for path in matching if path.is_file())
    owners = _owners()[last]
    if len(owners) == 1:
        paths.append(WEIGHTS / last)
    return paths


def available(row: Row) -> list[Path]:
    """Return the row's files in WEIGHTS, unread; empty unless all exist."""
    files = []
    for official in row.official or (row.name,):
        paths = places(row, official)
        file = _first_file(paths)
        if file is None:
            return []
        files.append(file)
    return files


def _first_file(paths: Sequence[Path]) -> Path | None:
    for path in paths:
        if path.is_file():
            return path
    return None


def _single(row: Row, given: Sequence[Path]) -> Path:
    """Return the file of a row that has one. Raises WxrError if it does not exist."""
    if len(given) > 1:
        raise WxrError(f"{row.name} is one file, not {len(given)}")
    official = row.file or row.name
    if not given:
        choices = places(row, official)
    elif given[0].is_dir():
        folder = given[0]
        choices = [folder / official, folder / Path(official).name]
    else:
        choices = list(given)
    file = _first_file(choices)
    return file or _missing(row, official, given)


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
    choices = {}
    for official in row.official:
        paths = list(_choices(row, official, given))
        if not paths:
            folders = [path for path in given if path.is_dir()]
            _missing(row, official, folders)
        choices[official] = paths
    for network in networks(row):
        expected = network_shapes(network)
        assigned = _assigned(row, expected, choices)
        if assigned:
            files = tuple(assigned[part.file] for part in row.files)
            return RowFiles(network, files)
    return _refuse_parts(row, choices)


def _refuse_parts(row: Row, choices: dict[str, list[Path]]) -> RowFiles:
    """Raise an error that names the first part that no file fits, if there is one."""
    first = next(networks(row))
    expected = network_shapes(first)
    for part in row.files:
        paths = choices[part.file]
        fitting = (path for path in paths if _part_fits(row, part, path, expected))
        if next(fitting, None) is None:
            shapes = part_shapes(row, part, expected)
            _refuse(part, paths[0], shapes, row)
    # Every part has a file that fits it, but two parts need the same one.
    names = ", ".join(row.official)
    raise WxrError(f"{row.name}: no choice of files for {names} fits the network")


def _choices(row: Row, official: str, given: Sequence[Path]) -> Iterator[Path]:
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


def _assigned(row: Row, expected: Shapes, choices: dict[str, list[Path]]) -> dict[str, Path] | None:
    """Return official name -> the first file that fits all of its parts; None if one has none."""
    assigned: dict[str, Path] = {}
    for official, paths in choices.items():
        parts = [part for part in row.files if part.file == official]
        file = _first_fit(row, parts, paths, expected, assigned.values())
        if file is None:
            return None
        assigned[official] = file
    return assigned


def _first_fit(
    row: Row,
    parts: Sequence[Part],
    paths: Sequence[Path],
    expected: Shapes,
    taken: Collection[Path],
) -> Path | None:
    """Return the first of `paths` that fits all of `parts`; None without any."""
    for path in paths:
        # Two files may have the same shapes, but each is taken once.
        if path in taken:
            continue
        if all(_part_fits(row, part, path, expected) for part in parts):
            return path
    return None


def _part_fits(row: Row, part: Part, file: Path, expected: Shapes) -> bool:
    """Return whether the file holds the weights of one part."""
    shapes = part_shapes(row, part, expected)
    weights = _read(part, file, shapes)
    return fits(weights, shapes)


def _is_whole_network(row: Row, given: Sequence[Path]) -> bool:
    """Return whether a single given file holds the whole network of a row with several parts."""
    if len(given) != 1:
        return False
    (file,) = given
    if not file.is_file():
        return False
    for network in networks(row):
        expected = network_shapes(network)
        weights = _read(row, file, expected)
        if fits(weights, expected):
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
    """Raise an error with the differences of a file from the network, or from a part of it."""
    weights = _read(source, file, expected)
    shapes = shapes_of(weights)
    difference = differences(shapes, expected)
    # A part has no name of its own.
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
            last = Path(official).name
            of_name = owners.setdefault(last, set())
            of_name.add((official, row.source))
    return owners
