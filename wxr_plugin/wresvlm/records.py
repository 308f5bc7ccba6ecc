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
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Record)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise WxrError(
            f"{folder / FILE} cannot be read ({error}); remove {folder} to make this stage again"
        ) from error


def write(folder: Path, record: Record) -> None:
    """Write `record` into `folder` atomically."""
    write_bytes(folder / FILE, msgspec.json.format(msgspec.json.encode(record)))


def is_bare(folder: Path) -> bool:
    """Return whether `folder` holds no work.

    A call that is killed as it begins a stage leaves nothing but a temporary file of the record.
    """
    if not folder.exists():
        return True
    return all(file.name.startswith(f".{FILE}.") for file in folder.iterdir())


def finish(folder: Path, record: Record, inputs: Inputs, seconds: float) -> None:
    """Write that the stage is done; values unknown before its work are taken from `inputs`."""
    values = dict(record.inputs)
    # Weights, for example, that the stage downloaded.
    for name, value in values.items():
        if value is None:
            values[name] = inputs.get(name)
    write(
        folder,
        msgspec.structs.replace(record, inputs=values, seconds=seconds, finished=time.time()),
    )


def changes(before: Inputs, now: Inputs) -> list[str]:
    """Return the differences in words; empty if there are none."""
    lines = []
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name), now.get(name)
        in_both = name in before and name in now
        # An unknown value may be the same one, and hours of work are not repeated on suspicion.
        if in_both and (old is None or new is None or old == new):
            continue
        lines.append(_change(name, before, now))
    return lines


def _change(name: str, before: Inputs, now: Inputs) -> str:
    if name.startswith("stage "):
        stage = name.removeprefix("stage ")
        if name in before and name in now:
            return f"{stage} was made again"
        return f"{stage} {'joined' if name in now else 'left'}"
    if name not in before:
        return f"{name} is given now ({_short(now[name])})"
    if name not in now:
        return f"{name} was taken out"
    return f"{name} changed from {_short(before[name])} to {_short(now[name])}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def set_aside(folder: Path, old: Path) -> Path:
    """Rename a stage's folder to a free name below `old`, and return it."""
    old.mkdir(parents=True, exist_ok=True)
    targets = (old / f"{folder.name}.{number}" for number in count(1))
    target = next(path for path in targets if not path.exists())
    folder.rename(target)
    return target
