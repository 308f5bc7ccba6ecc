"""The rows of the zoo: one a published checkpoint, with all that is needed to load it and to restore with it."""

import difflib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from wxr_plugin.errors import WxrError

DATA = resources.files(__package__)
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Task = Literal[
    "weather", "real-weather", "all-in-one", "derain", "dehaze", "desnow", "low-light", "deblur", "denoise"
]  # fmt: skip


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of several files whose weights make a network together; a file with several containers is several parts."""

    file: str
    """Its official name."""
    into: str = ""
    """What its names begin with in the network."""
    key: str | None = None
    """Key of its state dict; a path such as `state_dict/model_R` where containers are nested."""
    prefix: str = ""
    """What its names begin with in the file, and not in the network."""
    sha256: Sha256 | None = None
    """Of the file, where known."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published checkpoint, or what one of several uses of it needs."""

    name: str
    """What `--method` calls it."""
    method: str
    """The method, in the registry's spelling; its rows are its variants."""
    paper: str
    """Authors, title and venue."""
    task: Task
    """What it restores."""
    licence: str
    """What the authors permit for code and weights."""
    source: str
    """Where the authors publish it."""
    network_g: dict[str, Any]
    """The network, as in an option file."""
    either: tuple[dict[str, Any], ...] = ()
    """Other arguments of the network that the file may be for, where the authors do not say: the first that fit."""
    file: str | None = None
    """Official name of the file; None where the authors name none, or where there are several `files`."""
    files: tuple[Part, ...] = ()
    """The files that make the network together."""
    sha256: Sha256 | None = None
    """Of `file`, where known."""
    key: str | None = None
    """Key of the state dict in the file; None for a bare one."""
    prefix: str = ""
    """What its names begin with in the file, and not in the network."""
    classes: tuple[str, ...] = ()
    """Classes of the authors' code that the file names because it holds whole networks; `module.*` is all of a module.
    They are read without that code, as empty stand-ins."""
    colour: Literal["RGB", "BGR"] = "RGB"
    """Order of the channels in the authors' call.

    Our `forward(lq)` takes RGB whatever this says.
    """
    space: Literal["sRGB"] = "sRGB"
    """Colour space of what goes in and comes out."""
    range: tuple[float, float] = (0, 1)
    """Black and white in the authors' call. Our `forward(lq)` takes [0, 1] whatever this says."""
    multiple: int = 1
    """The authors' call takes sides that are multiples of this. Our `forward(lq)` takes any."""
    also: str | None = None
    """What else is particular about the authors' call; our `forward(lq)` does it by itself."""
    guide: str | None = None
    """Official name of the file of the DA-CLIP that steers it."""
    sde: dict[str, Any] | None = None
    """The equation that it samples, as in an option file."""
    instruction: str | None = None
    """Words that tell InstructIR what to mend."""
    option: str | None = None
    """Option file of this package that trains the network."""
    notes: str | None = None
    """What else is worth knowing."""

    @property
    def official(self) -> tuple[str, ...]:
        """Official names of its files, each once."""
        names = [part.file for part in self.files] or [self.file]
        return tuple(dict.fromkeys(name for name in names if name))


@cache
def rows() -> dict[str, Row]:
    """Name -> row, the files of this folder in the order of their names.

    Raises WxrError where one is no good.
    """
    found = [row for path in sorted(DATA.glob("*.yml")) for row in _read(path)]
    return {row.name: row for row in found}


def published_classes() -> tuple[str, ...]:
    """Return the names of the authors' classes that files of any row hold, for `checkpoints.reading`."""
    return tuple({name for row in rows().values() for name in row.classes})


def find_row(name: str) -> Row:
    """The row `name`.

    Raises WxrError if there is none: names the variants of a method, or what is written alike.
    """
    if name in rows():
        return rows()[name]
    raise WxrError(f"no published method {name!r}; {_instead(name)}")


def variants(method: str) -> list[Row]:
    """The rows of a method, as `Row.method` has it, in upper or lower case."""
    return [row for row in rows().values() if row.method.lower() == method.lower()]


def _instead(name: str) -> str:
    same = [row.name for row in variants(name)] or [
        row for row in rows() if row.startswith(name.lower())
    ]
    if same:
        return f"{name} has the variants {', '.join(same)}"
    known = {row.lower(): row for row in rows()} | {
        row.method.lower(): row.method for row in rows().values()
    }
    near = [known[word] for word in difflib.get_close_matches(name.lower(), known, n=4)]
    return (
        f"is it {_either(near)}? `wxr zoo list` has all of them"
        if near
        else "`wxr zoo list` has all there are"
    )


def _either(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _read(path: Path) -> list[Row]:
    try:
        return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), list[Row])
    except msgspec.ValidationError as error:
        raise WxrError(f"{path}: {error}") from error
