"""Search for the files of a row, and their weights under the names of the row's network."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from torch import Tensor

from wxr_plugin.checkpoints.fitting import (
    Shapes,
    differences,
    fits,
    network_shapes,
    read_fitting,
    shapes_of,
)
from wxr_plugin.checkpoints.reading import CheckpointError
from wxr_plugin.errors import WxrError
from wxr_plugin.zoo.rows import Part, Row, networks, rows

Parts = tuple[Part, ...]
Choices = dict[str, Sequence[Path]]
"""Official name -> existing files that may be the file of this name."""
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
    for parts, choices in _layouts(row, given):
        for network, expected in _variants(row):
            files = _assigned(parts, expected, choices)
            if files:
                return RowFiles(network, files)
    _refuse(row, parts, choices)


def further_file(row: Row, name: str, files: RowFiles, option: str | None = None) -> Path:
    """Return a file of `row` that holds no weights of its network, such as its guide's.

    It lies next to the others or in WEIGHTS.

    Raises:
        WxrError: it does not exist; the message gives its source, and `option` as a way to name it.
    """
    for folder in (files.files[0].parent, WEIGHTS):
        if (folder / name).is_file():
            return folder / name
    how = f", or give its path with {option}" if option else ""
    raise WxrError(f"{WEIGHTS / name}: no such file; fetch it from {row.source}{how}")


def read_weights(row: Row, row_files: RowFiles) -> dict[str, Tensor]:
    """Return the weights of all files under the names of the network."""
    parts = row.files if len(row_files.files) == len(row.files) else (row.whole,)
    expected = network_shapes(row_files.network)
    joined: dict[str, Tensor] = {}
    for part, file in zip(parts, row_files.files, strict=True):
        shapes = part_shapes(parts, part, expected)
        weights = read_fitting(file, shapes, part.key, part.prefix)
        joined |= {part.into + name: tensor for name, tensor in weights.items()}
    return joined


def part_shapes(parts: Parts, part: Part, expected: Shapes) -> Shapes:
    """Return those of the network's shapes that `part` of `parts` holds, named as in its file.

    A part without `into` holds the weights that belong to no other part.
    """
    if part.into:
        names = [name for name in expected if name.startswith(part.into)]
    else:
        prefixes = tuple(sibling.into for sibling in parts if sibling.into)
        names = [name for name in expected if not name.startswith(prefixes)]
    return {name.removeprefix(part.into): expected[name] for name in names}


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


def _layouts(row: Row, given: Sequence[Path]) -> Iterator[tuple[Parts, Choices]]:
    """Yield the ways in which files make the network: the parts, and the choices for their files.

    A single file may hold the whole network of a row with several.
    """
    whole = row.whole
    if not row.files:
        yield (whole,), {whole.file: [_single(row, given)]}
        return
    if len(given) == 1 and given[0].is_file():
        yield (whole,), {whole.file: given}
    choices = {official: list(_choices(row, official, given)) for official in row.official}
    for official, paths in choices.items():
        if not paths:
            _missing(row, official, [path for path in given if path.is_dir()])
    yield row.files, choices


def _variants(row: Row) -> Iterator[tuple[dict[str, Any], Shapes]]:
    """Yield the networks of a row that its files may be for, each with its shapes."""
    for network in networks(row):
        yield network, network_shapes(network)


def _single(row: Row, given: Sequence[Path]) -> Path:
    """Return the file of a row that has one. Raises WxrError if it does not exist."""
    if len(given) > 1:
        raise WxrError(f"{row.name} is one file, not {len(given)}")
    official = row.file or row.name
    candidates = list(given) or places(row, official)
    if given and given[0].is_dir():
        candidates = [given[0] / official, given[0] / Path(official).name]
    file = _first_file(candidates)
    if file is None:
        _missing(row, official, given)
    return file


def _missing(row: Row, official: str, given: Sequence[Path]) -> NoReturn:
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


def _assigned(parts: Parts, expected: Shapes, choices: Choices) -> tuple[Path, ...] | None:
    """Return for each part the first file that fits; None if one has none.

    Files may have other names than the official ones, so they are assigned by their shapes.
    """
    assigned: dict[str, Path] = {}
    for official, paths in choices.items():
        in_file = [part for part in parts if part.file == official]
        # Two files may have the same shapes, but each is taken once.
        for path in paths:
            if path in assigned.values():
                continue
            if all(_part_fits(parts, part, path, expected) for part in in_file):
                assigned[official] = path
                break
        else:
            return None
    return tuple(assigned[part.file] for part in parts)


def _part_fits(parts: Parts, part: Part, file: Path, expected: Shapes) -> bool:
    shapes = part_shapes(parts, part, expected)
    return fits(read_fitting(file, shapes, part.key, part.prefix), shapes)


def _refuse(row: Row, parts: Parts, choices: Choices) -> NoReturn:
    """Raise CheckpointError with the differences of the first part that no file fits."""
    _, expected = next(_variants(row))
    for part in parts:
        paths = choices[part.file]
        if any(_part_fits(parts, part, path, expected) for path in paths):
            continue
        shapes = part_shapes(parts, part, expected)
        weights = read_fitting(paths[0], shapes, part.key, part.prefix)
        raise CheckpointError(
            f"{paths[0]} does not fit the network of {row.name}: "
            f"{differences(shapes_of(weights), shapes)}. `wxr zoo verify {paths[0]}` reports the "
            "network that it is for"
        )
    raise WxrError(f"{row.name}: no choice of files for {', '.join(row.official)} fits the network")


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
