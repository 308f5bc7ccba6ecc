"""Records of the inputs that each stage was made from, and their comparison with those of now."""

import time
import uuid
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import write_bytes

FILE = "stage.json"
DIGITS = 12
Inputs = Mapping[str, Any]
"""Name of an input -> value or digest, flat; None where unknown, which never counts as a change."""


class Record(msgspec.Struct):
    """State of one stage, in its folder."""

    inputs: dict[str, Any]
    """Everything it is made from."""
    made: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex[:DIGITS])
    """Random name of this attempt from scratch; stages that use its result store it."""
    attempts: int = 1
    """How often work on it began: more than once after a kill."""
    seconds: float | None = None
    """Duration of the last attempt; None while it is not done."""
    finished: float | None = None
    """Time of its end, in seconds since 1970."""


def read(folder: Path) -> Record | None:
    """Return the record of the stage in `folder`; None if it was not begun.

    Raises:
        WxrError: the file is damaged.
    """
    file = folder / FILE
    try:
        content = file.read_bytes()
        return msgspec.json.decode(content, type=Record)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise WxrError(
            f"{file} cannot be read ({error}); remove {folder} to make this stage again"
        ) from error


def write(folder: Path, record: Record) -> None:
    """Write `record` into `folder` atomically."""
    # Indented, because people read it to see what a stage was made from.
    content = msgspec.json.format(msgspec.json.encode(record))
    write_bytes(folder / FILE, content)


def is_bare(folder: Path) -> bool:
    """Return whether `folder` holds no work.

    A call that is killed as it begins a stage leaves nothing but a temporary file of the record.
    """
    if not folder.exists():
        return True
    temporary = f".{FILE}."
    return all(file.name.startswith(temporary) for file in folder.iterdir())


def finish(folder: Path, record: Record, inputs: Inputs, seconds: float) -> None:
    """Write that the stage is done; values unknown before its work are taken from `inputs`."""
    values = dict(record.inputs)
    # Weights, for example, that the stage downloaded.
    for name, value in values.items():
        if value is None:
            values[name] = inputs.get(name)
    finished = msgspec.structs.replace(
        record,
        inputs=values,
        seconds=seconds,
        finished=time.time(),
    )
    write(folder, finished)


def changes(before: Inputs, now: Inputs) -> list[str]:
    """Return the differences in words; empty if there are none."""
    names = dict.fromkeys([*before, *now])
    lines = []
    for name in names:
        if name in before and name in now:
            old, new = before[name], now[name]
            # An unknown value may be the same one: hours of work are not repeated on suspicion.
            is_unknown = old is None or new is None
            if is_unknown or old == new:
                continue
        lines.append(_change(name, before, now))
    return lines


def _change(name: str, before: Inputs, now: Inputs) -> str:
    """Return a line on an input that joined, left or changed."""
    is_new = name not in before
    is_gone = name not in now
    if name.startswith("stage "):
        stage = name.removeprefix("stage ")
        if is_new:
            return f"{stage} joined"
        return f"{stage} left" if is_gone else f"{stage} was made again"
    if is_new:
        value = _short(now[name])
        return f"{name} is given now ({value})"
    if is_gone:
        return f"{name} was taken out"
    old, new = _short(before[name]), _short(now[name])
    return f"{name} changed from {old} to {new}"


def _short(value: Any) -> str:
    """Return a value as text of at most 60 characters."""
    text = str(value)
    if len(text) <= 60:
        return text
    return f"{text[:57]}…"


def set_aside(folder: Path, old: Path) -> Path:
    """Rename a stage's folder to a free name below `old`, and return it."""
    old.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        target = old / f"{folder.name}.{number}"
        if not target.exists():
            break
    # Renamed, not copied: a stage may hold gigabytes.
    folder.rename(target)
    return target
