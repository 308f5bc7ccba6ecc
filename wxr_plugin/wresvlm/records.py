"""What each stage was made from, in its own folder, and whether that still holds."""

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import write_bytes

FILE = "stage.json"
Inputs = Mapping[str, Any]
"""Name of an input -> its value or digest, flat; None where it cannot be known, which never counts as a change."""


class Record(msgspec.Struct):
    """The state of one stage."""

    inputs: dict[str, Any]
    """What it is made from."""
    made: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex[:DIGITS])
    """Tells one making from the next; stages that build on it remember it."""
    attempts: int = 1
    """How often work on it began: more than once after a kill."""
    seconds: float | None = None
    """What the last attempt took; None while it is not done."""
    finished: float | None = None
    """When it was done, in seconds since 1970."""


DIGITS = 12


def read(folder: Path) -> Record | None:
    """The record of the stage in `folder`; None where none was begun."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Record)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise WxrError(
            f"{folder / FILE} cannot be read ({error}); remove {folder} to make this stage again"
        ) from error


def write(folder: Path, record: Record) -> None:
    """Put `record` into `folder` in one step."""
    write_bytes(folder / FILE, msgspec.json.format(msgspec.json.encode(record)))


def is_bare(folder: Path) -> bool:
    """Whether there is nothing in `folder`, or only what a call left that was killed as it began the stage."""
    return not folder.exists() or all(
        file.name.startswith(f".{FILE}.") for file in folder.iterdir()
    )


def finish(folder: Path, record: Record, inputs: Inputs, seconds: float) -> None:
    """Note that the stage is done; inputs that could not be known before its work are those of `inputs`."""
    known = {
        name: inputs.get(name) if value is None else value for name, value in record.inputs.items()
    }
    write(
        folder, msgspec.structs.replace(record, inputs=known, seconds=seconds, finished=time.time())
    )


def changes(before: Inputs, now: Inputs) -> list[str]:
    """What is different, in words; empty if nothing is."""
    found = []
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name), now.get(name)
        if name in before and name in now and (old is None or new is None or old == new):
            continue
        found.append(_change(name, before, now))
    return found


def _change(name: str, before: Inputs, now: Inputs) -> str:
    if name.startswith("stage "):
        what = {True: "was made again", False: "joined" if name in now else "left"}
        return f"{name.removeprefix('stage ')} {what[name in before and name in now]}"
    if name not in before:
        return f"{name} is given now ({_short(now[name])})"
    if name not in now:
        return f"{name} was taken out"
    return f"{name} changed from {_short(before[name])} to {_short(now[name])}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def set_aside(folder: Path, old: Path) -> Path:
    """Move a stage's folder, in one step, to a free name below `old`."""
    old.mkdir(parents=True, exist_ok=True)
    numbers = (
        number for number in range(1, 1 << 30) if not (old / f"{folder.name}.{number}").exists()
    )
    target = old / f"{folder.name}.{next(numbers)}"
    folder.rename(target)
    return target
