"""Rows of the zoo: one for each published checkpoint, with all data to load and apply it."""

import difflib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.namesakes import our_network

DATA = resources.files(__package__)
INSTRUCTION_HEAD = "lm_instructir-7d.pt"
"""Second file of InstructIR: the layers from embedded words to the input of its network."""
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Task = Literal[
    "weather",
    "real-weather",
    "all-in-one",
    "derain",
    "dehaze",
    "desnow",
    "low-light",
    "deblur",
    "denoise",
]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of several state dicts that make a network together, in one file or in several."""

    file: str
    """Official name of its file."""
    into: str = ""
    """Prefix of its names in the network."""
    key: str | None = None
    """Key of its state dict; a path such as `state_dict/model_R` in nested containers."""
    prefix: str = ""
    """Prefix of its names in the file that the network does not have."""
    sha256: Sha256 | None = None
    """SHA-256 of the file, if known."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published checkpoint, or one of several uses of it."""

    name: str
    """Name for `--method`."""
    method: str
    """Name of the method, in the registry's spelling; its rows are its variants."""
    paper: str
    """Authors, title and venue."""
    task: Task
    """Degradation that it removes."""
    licence: str
    """Licence of the authors' code and weights."""
    source: str
    """Address at which the authors publish it."""
    network_g: dict[str, Any]
    """The network, as in an option file."""
    either: tuple[dict[str, Any], ...] = ()
    """Alternative arguments of the network if the authors do not state them; the first that fit."""
    file: str | None = None
    """Official name of the file; None if the authors name none, or if there are several `files`."""
    files: tuple[Part, ...] = ()
    """State dicts that make the network together."""
    sha256: Sha256 | None = None
    """SHA-256 of `file`, if known."""
    key: str | None = None
    """Key of the state dict in the file; None for a bare one."""
    prefix: str = ""
    """Prefix of the names in the file that the network does not have."""
    classes: tuple[str, ...] = ()
    """Classes of the authors' code in the file, if it holds whole networks.

    `module.*` is all of a module. They are read without that code, as empty stand-ins.
    """
    colour: Literal["RGB", "BGR"] = "RGB"
    """Order of the channels in the authors' call.

    The `forward(lq)` of this package always takes RGB.
    """
    space: Literal["sRGB"] = "sRGB"
    """Colour space of input and output."""
    range: tuple[float, float] = (0, 1)
    """Black and white in the authors' call.

    The `forward(lq)` of this package always takes [0, 1].
    """
    multiple: int = 1
    """Number that the sides must be multiples of in the authors' call.

    The `forward(lq)` of this package takes any sides.
    """
    also: str | None = None
    """Further steps of the authors' call, which the `forward(lq)` of this package does itself."""
    guide: str | None = None
    """Official name of the file of the DA-CLIP that guides it."""
    sde: dict[str, Any] | None = None
    """The equation that it samples, as in an option file."""
    instruction: str | None = None
    """Instruction for InstructIR."""
    option: str | None = None
    """Option file of this package that trains the network."""
    notes: str | None = None
    """Further remarks."""

    @property
    def official(self) -> tuple[str, ...]:
        """Official names of its files, each once."""
        names = [part.file for part in self.files] or [self.file]
        # Several parts may be in one file.
        unique = dict.fromkeys(name for name in names if name)
        return tuple(unique)

    @property
    def further(self) -> tuple[str, ...]:
        """Official names of the files that hold no weights of its network, such as its guide's."""
        head = INSTRUCTION_HEAD if self.instruction else None
        return tuple(name for name in (self.guide, head) if name)

    @property
    def whole(self) -> Part:
        """All of the network as one part, for a file that holds the whole."""
        return Part(self.file or self.name, key=self.key, prefix=self.prefix, sha256=self.sha256)


@cache
def rows() -> dict[str, Row]:
    """Return name -> row of all files of this folder, in the order of their names.

    Raises:
        WxrError: a file is malformed.
    """
    by_name: dict[str, Row] = {}
    for path in sorted(DATA.glob("*.yml")):
        for row in _read(path):
            by_name[row.name] = row
    return by_name


def published_classes() -> tuple[str, ...]:
    """Return the authors' classes in files of any row, for `checkpoints.reading`."""
    classes: set[str] = set()
    for row in rows().values():
        classes.update(row.classes)
    return tuple(classes)


def find_row(name: str) -> Row:
    """Return the row `name`.

    Raises:
        WxrError: there is none; the message lists the variants of a method, or similar names.
    """
    if name in rows():
        return rows()[name]
    raise WxrError(f"no published method {name!r}; {_suggestion(name)}")


def variants(method: str) -> list[Row]:
    """Return the rows of a method, whose name is compared without case."""
    word = method.lower()
    return [row for row in rows().values() if row.method.lower() == word]


def networks(row: Row) -> Iterator[dict[str, Any]]:
    """Yield the `network_g` block of a row, then those with its alternative arguments."""
    for arguments in ({}, *row.either):
        yield our_network(row.network_g | arguments)


def _suggestion(name: str) -> str:
    """Return the part of the message that helps with a name without a row."""
    word = name.lower()
    names = [row.name for row in variants(name)]
    if not names:
        names = [row_name for row_name in rows() if row_name.startswith(word)]
    if names:
        return f"{name} has the variants {', '.join(names)}"
    # Compared without case, shown as the registry spells them.
    spellings = {row_name.lower(): row_name for row_name in rows()}
    for row in rows().values():
        spellings[row.method.lower()] = row.method
    similar = difflib.get_close_matches(word, spellings, n=4)
    if not similar:
        return "`wxr zoo list` lists all methods"
    near = _either(spellings[spelling] for spelling in similar)
    return f"did you mean {near}? `wxr zoo list` lists all methods"


def _either(words: Iterable[str]) -> str:
    """Join words as "a, b or c"."""
    *most, last = words
    if not most:
        return last
    return f"{', '.join(most)} or {last}"


def _read(path: Path) -> list[Row]:
    """Read one file of rows; raise WxrError if it is malformed."""
    text = path.read_text(encoding="utf-8")
    try:
        return msgspec.convert(yaml.safe_load(text), list[Row])
    except msgspec.ValidationError as error:
        raise WxrError(f"{path}: {error}") from error
