"""Prompts (`prompts.yml`) and models (`models.yml`), keyed by name."""

import re
from functools import lru_cache
from importlib import resources
from pathlib import Path

import msgspec
import yaml

from wxr_plugin.errors import WxrError
from wxr_plugin.hub import is_reference, read_reference
from wxr_plugin.utils.wording import nearest

_HERE = resources.files(__package__)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class ModelEntry(msgspec.Struct, forbid_unknown_fields=True):
    """A model of `models.yml`, or one that was named by its folder or hub id."""

    model: str
    """Local folder, hub id, or reference to the hub."""
    system: str = ""
    """System message before the question; none when empty."""
    pad_to_square: bool = False
    """Pad the image to a square with the processor's mean colour before anything else."""


def prompt_text(kind: str, name: str) -> str:
    """Return the prompt `name` of a kind: "rating", "description" or "rewrite".

    A name with a space in it is returned as the prompt itself.

    Raises:
        WxrError: the name is unknown; the message has the nearest names.
    """
    prompts = read_data("prompts.yml")[kind]
    if name in prompts:
        return prompts[name]
    if " " in name.strip():
        return name
    raise WxrError(f"unknown {kind} prompt '{name}'; {nearest(name, prompts)}")


def find_model(name: str, kind: str = "vision-language model") -> ModelEntry:
    """Return the model `name`: a name of `models.yml`, a local folder, or a model on the hub.

    The latter is a hub id (`owner/name`) or a reference (`hf://owner/name@revision`).

    `kind` is used in the message.

    Raises:
        WxrError: `name` is none of these; the message has the nearest names.
    """
    entries = read_data("models.yml")
    if name in entries:
        entry = msgspec.convert(entries[name], ModelEntry)
        if not entry.model.startswith("assets/"):
            return entry
        packaged = str(_HERE.parent / entry.model)
        return msgspec.structs.replace(entry, model=packaged)
    if Path(name).is_dir():
        return ModelEntry(model=str(Path(name)))
    if is_reference(name):
        return ModelEntry(model=str(read_reference(name)))
    if _HUB_ID.fullmatch(name) and not name.startswith("."):
        return ModelEntry(model=name)
    raise WxrError(
        f"unknown {kind} '{name}', neither a name, nor a folder that exists, nor a hub id "
        f"(owner/name); {nearest(name, entries)}"
    )


@lru_cache
def read_data(file: str) -> dict:
    """Return the contents of a YAML file in this folder."""
    return yaml.safe_load((_HERE / file).read_text(encoding="utf-8"))
