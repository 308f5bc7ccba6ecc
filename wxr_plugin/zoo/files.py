"""Where the files of a row lie, and their weights under the names of its network."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from wxr_plugin.checkpoints.containers import find_weights
from wxr_plugin.checkpoints.fitting import differences
from wxr_plugin.checkpoints.reading import CheckpointError, read_content
from wxr_plugin.errors import WxrError
from wxr_plugin.zoo.rows import Part, Row, rows
from wxr_plugin.zoo.shapes import Shapes, aligned, fits, network_shapes, networks

WEIGHTS = Path("experiments") / "pretrained_models"
"""Where BasicSR's projects keep what they did not train."""


class Found(NamedTuple):
    """A row whose files are there and fit."""

    network: dict[str, Any]
    """Its `network_g` block, with the arguments that fit."""
    files: tuple[Path, ...]
    """One for each part of the row; one alone if it holds the whole network."""


def find_files(row: Row, given: Sequence[Path] = ()) -> Found:
    """The files of `row`: those `given` (files, or folders that hold them), or the official ones in WEIGHTS.

    Raises:
        WxrError: a file is not there: names it, and where it comes from.
        CheckpointError: a file is for another network: names both sides.
    """
    for path in given:
        if not path.exists():
            raise WxrError(f"{path}: no such file or folder")
    if row.files and not (len(given) == 1 and given[0].is_file() and _holds_all(row, given[0])):
        return _find_parts(row, given)
    file = _single(row, given)
    for network in networks(row):
        if fits(_read(row, file, network_shapes(network)), network_shapes(network)):
            return Found(network, (file,))
    return _refuse(row, file, network_shapes(next(networks(row))))


def read_weights(row: Row, found: Found) -> dict[str, Tensor]:
    """The weights of all files under the names of the network."""
    expected = network_shapes(found.network)
    if len(found.files) == 1 and len(row.files) != 1:
        return _read(row, found.files[0], expected)
    joined: dict[str, Tensor] = {}
    for part, file in zip(row.files, found.files, strict=True):
        weights = _read(part, file, part_shapes(row, part, expected))
        joined |= {part.into + name: tensor for name, tensor in weights.items()}
    return joined


def part_shapes(row: Row, part: Part, expected: Shapes) -> Shapes:
    """What of the network's shapes is in `part`, under the names of its file; without `into`, what others lack."""
    others = tuple(other.into for other in row.files if other.into)
    mine = [
        name
        for name in expected
        if (name.startswith(part.into) if part.into else not name.startswith(others))
    ]
    return {name.removeprefix(part.into): expected[name] for name in mine}


def places(row: Row, official: str) -> list[Path]:
    """Where a file of `row` is looked for: under its official name, in a folder or as a file called after the row, and
    under the last part of its name if no other file is called so."""
    last = Path(official).name
    named = (
        []
        if row.files
        else sorted(path for path in WEIGHTS.glob(f"{row.name}.*") if path.is_file())
    )
    alone = [WEIGHTS / last] if len(_owners()[last]) == 1 else []
    return [WEIGHTS / official, WEIGHTS / row.name / last, *named, *alone]


def available(row: Row) -> list[Path]:
    """Its files in WEIGHTS; empty unless all are there. What is in them is not looked at."""
    names = row.official or (row.name,)
    found = [next((path for path in places(row, name) if path.is_file()), None) for name in names]
    return [path for path in found if path] if all(found) else []


def _single(row: Row, given: Sequence[Path]) -> Path:
    if len(given) > 1:
        raise WxrError(f"{row.name} is one file, not {len(given)}")
    official = row.file or row.name
    choices = list(given) or places(row, official)
    if given and given[0].is_dir():
        choices = [given[0] / official, given[0] / Path(official).name]
    found = next((path for path in choices if path.is_file()), None)
    return found or _missing(row, official, given)


def _missing(row: Row, official: str, given: Sequence[Path]) -> Path:
    if not row.official:
        where = given[0] if given else WEIGHTS / f"{row.name}.pth"
        raise WxrError(
            f"{where}: no such file; the authors name none, see {row.source}, or give yours with "
            f"--checkpoint"
        )
    where = given[0] / official if given else WEIGHTS / official
    raise WxrError(
        f"{where}: no such file; fetch it from {row.source}, or say with --checkpoint where it is"
    )


def _find_parts(row: Row, given: Sequence[Path]) -> Found:
    choices = {official: list(_choices(row, official, given)) for official in row.official}
    for official, paths in choices.items():
        if not paths:
            _missing(row, official, [path for path in given if path.is_dir()])
    for network in networks(row):
        if files := _assigned(row, network_shapes(network), choices):
            return Found(network, tuple(files[part.file] for part in row.files))
    expected = network_shapes(next(networks(row)))
    for part in row.files:
        if not any(_part_fits(row, part, path, expected) for path in choices[part.file]):
            _refuse(part, choices[part.file][0], part_shapes(row, part, expected), row)
    raise WxrError(f"{row.name}: no choice of files for {', '.join(row.official)} fits the network")


def _choices(row: Row, official: str, given: Sequence[Path]) -> Iterator[Path]:
    """Files that may be the one of this name, the likeliest first: those of its name, then any that was given."""
    files = [path for path in given if path.is_file()]
    folders = [path for path in given if path.is_dir()] + [path.parent for path in files]
    last = Path(official).name
    named = [path for path in files if path.name == last]
    named += [path for folder in folders for path in (folder / official, folder / last)]
    siblings = [folder / Path(other).name for folder in folders for other in row.official]
    default = [path for name in (official, *row.official) for path in places(row, name)]
    ranked = [*named, *files, *siblings, *default]
    return iter(dict.fromkeys(path for path in ranked if path.is_file()))


def _assigned(row: Row, expected: Shapes, choices: dict[str, list[Path]]) -> dict[str, Path] | None:
    chosen: dict[str, Path] = {}
    for official, paths in choices.items():
        parts = [part for part in row.files if part.file == official]
        free = [path for path in paths if path not in chosen.values()]
        fitting = (
            path for path in free if all(_part_fits(row, part, path, expected) for part in parts)
        )
        if (file := next(fitting, None)) is None:
            return None
        chosen[official] = file
    return chosen


def _part_fits(row: Row, part: Part, file: Path, expected: Shapes) -> bool:
    shapes = part_shapes(row, part, expected)
    return fits(_read(part, file, shapes), shapes)


def _holds_all(row: Row, file: Path) -> bool:
    return any(
        fits(_read(row, file, network_shapes(network)), network_shapes(network))
        for network in networks(row)
    )


def _read(where: Row | Part, file: Path, expected: Shapes) -> dict[str, Tensor]:
    """The weights of a file, from the row's key or else wherever they are; the numbers stay in the file."""
    content = read_content(file, mapped=True)
    try:
        weights = find_weights(content, where.key, file)
    except CheckpointError:
        weights = find_weights(content, None, file)
    return aligned(weights, expected, where.prefix)


def _refuse(where: Row | Part, file: Path, expected: Shapes, row: Row | None = None) -> Found:
    name = (row or where).name
    told = differences(
        {name: tensor.shape for name, tensor in _read(where, file, expected).items()}, expected
    )
    raise CheckpointError(
        f"{file} does not fit the network of {name}: {told}. `wxr zoo verify {file}` tells what it "
        f"is for"
    )


@cache
def _owners() -> dict[str, set[tuple[str, str]]]:
    """Last part of a file's name -> the files that are called so."""
    owners: dict[str, set[tuple[str, str]]] = {}
    for row in rows().values():
        for official in row.official or (row.name,):
            owners.setdefault(Path(official).name, set()).add((official, row.source))
    return owners
