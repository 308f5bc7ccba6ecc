"""The data files beside this one: prompts by name (`prompts.yml`) and models by name (`models.yml`)."""

import re
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import yaml

from wxr_plugin.errors import WxrError

_HERE = resources.files(__package__)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class ModelEntry(msgspec.Struct, forbid_unknown_fields=True):
    """One model of `models.yml`, or one that was named by its folder or hub id."""

    model: str
    """Local folder or hub id."""
    system: str = ""
    """System message put before the question; none when empty."""
    pad_to_square: bool = False
    """Pad the image to a square with the processor's mean colour before anything else."""


def prompt_text(kind: str, name: str) -> str:
    """The prompt called `name` among those of `kind` ("rating", "description" or "rewrite").

    A name with a space in it is taken as the prompt itself.

    Raises:
        WxrError: no such prompt; the message lists the nearest names.
    """
    prompts = read_data("prompts.yml")[kind]
    if name in prompts:
        return prompts[name]
    if " " in name.strip():
        return name
    raise WxrError(f"unknown {kind} prompt '{name}'; {nearest(name, prompts)}")


def find_model(name: str, kind: str = "vision-language model") -> ModelEntry:
    """The model called `name`: one of `models.yml`, else a local folder, else a hub id (`owner/name`).

    `kind` is for the message.

    Raises:
        WxrError: it is none of these; the message lists the nearest names.
    """
    entries = read_data("models.yml")
    if name in entries:
        entry = msgspec.convert(entries[name], ModelEntry)
        packaged = _HERE.parent / entry.model
        return (
            msgspec.structs.replace(entry, model=str(packaged))
            if entry.model.startswith("assets/")
            else entry
        )
    if Path(name).is_dir():
        return ModelEntry(model=str(Path(name)))
    if _HUB_ID.fullmatch(name) and not name.startswith("."):
        return ModelEntry(model=name)
    raise WxrError(
        f"unknown {kind} '{name}', neither a name, nor a folder that exists, nor a hub id "
        f"(owner/name); "
        f"{nearest(name, entries)}"
    )


def nearest(name: str, known: Any) -> str:
    """The clause of an error message that names what `name` may have meant among `known`."""
    close = get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(known)}"


@lru_cache
def read_data(file: str) -> dict:
    """The contents of a data file beside this module."""
    return yaml.safe_load((_HERE / file).read_text(encoding="utf-8"))
