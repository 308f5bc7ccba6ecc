"""The files of a row that fit, and their weights under the names of the row's network."""

from collections.abc import Collection, Iterator, Sequence
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
from wxr_plugin.zoo.places import candidates, single_file
from wxr_plugin.zoo.rows import Part, Row, networks

Parts = tuple[Part, ...]
Choices = dict[str, Sequence[Path]]
"""Official name -> existing files that may be the file of this name."""


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


def read_weights(row: Row, row_files: RowFiles) -> dict[str, Tensor]:
    """Return the weights of all files under the names of the network."""
    parts = row.files if len(row_files.files) == len(row.files) else (row.whole,)
    expected = network_shapes(row_files.network)
    joined: dict[str, Tensor] = {}
    for part, file in zip(parts, row_files.files, strict=True):
        shapes = part_shapes(parts, part, expected)
        weights = read_fitting(file, shapes, part.key, part.prefix)
        for name, tensor in weights.items():
            joined[part.into + name] = tensor
    return joined


def part_shapes(parts: Parts, part: Part, expected: Shapes) -> Shapes:
    """Return those of the network's shapes that `part` of `parts` holds, named as in its file.

    A part without `into` holds the weights that belong to no other part.
    """
    if part.into:
        names = [name for name in expected if name.startswith(part.into)]
    else:
        siblings = tuple(sibling.into for sibling in parts if sibling.into)
        names = [name for name in expected if not name.startswith(siblings)]
    # Without the prefix of the part, as its own file names the weights.
    return {name.removeprefix(part.into): expected[name] for name in names}


def _layouts(row: Row, given: Sequence[Path]) -> Iterator[tuple[Parts, Choices]]:
    """Yield the ways in which files make the network: the parts, and the choices for their files.

    A single file may hold the whole network of a row with several.
    """
    whole = row.whole
    if not row.files:
        yield (whole,), {whole.file: [single_file(row, given)]}
        return
    if len(given) == 1 and given[0].is_file():
        yield (whole,), {whole.file: given}
    yield row.files, candidates(row, given)


def _variants(row: Row) -> Iterator[tuple[dict[str, Any], Shapes]]:
    """Yield the networks of a row that its files may be for, each with its shapes."""
    for network in networks(row):
        yield network, network_shapes(network)


def _assigned(parts: Parts, expected: Shapes, choices: Choices) -> tuple[Path, ...] | None:
    """Return for each part the first file that fits; None if one has none.

    Files may have other names than the official ones, so they are assigned by their shapes.
    """
    assigned: dict[str, Path] = {}
    for official, paths in choices.items():
        in_file = [part for part in parts if part.file == official]
        shapes = [part_shapes(parts, part, expected) for part in in_file]
        file = _first_fit(in_file, shapes, paths, assigned.values())
        if file is None:
            return None
        assigned[official] = file
    return tuple(assigned[part.file] for part in parts)


def _first_fit(
    parts: Sequence[Part],
    shapes: Sequence[Shapes],
    paths: Sequence[Path],
    taken: Collection[Path],
) -> Path | None:
    """Return the first of `paths` that holds all of `parts`, with their shapes; None without."""
    for path in paths:
        # Two files may have the same shapes, but each is taken once.
        if path in taken:
            continue
        pairs = zip(parts, shapes, strict=True)
        if all(_holds(path, part, expected) for part, expected in pairs):
            return path
    return None


def _holds(file: Path, part: Part, expected: Shapes) -> bool:
    """Return whether a file holds the weights of a part."""
    weights = read_fitting(file, expected, part.key, part.prefix)
    return fits(weights, expected)


def _refuse(row: Row, parts: Parts, choices: Choices) -> NoReturn:
    """Raise CheckpointError with the differences of the first part that no file fits."""
    _, expected = next(_variants(row))
    for part in parts:
        shapes = part_shapes(parts, part, expected)
        paths = choices[part.file]
        if any(_holds(path, part, shapes) for path in paths):
            continue
        weights = read_fitting(paths[0], shapes, part.key, part.prefix)
        difference = differences(shapes_of(weights), shapes)
        raise CheckpointError(
            f"{paths[0]} does not fit the network of {row.name}: {difference}. "
            f"`wxr zoo verify {paths[0]}` reports the network that it is for"
        )
    # Every part has a file that fits it, but two parts need the same one.
    names = ", ".join(row.official)
    raise WxrError(f"{row.name}: no choice of files for {names} fits the network")
