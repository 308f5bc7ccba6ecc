"""Arguments of a network from the shapes of its weights, by the rules of architectures.yml."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import msgspec
import yaml

from wxr_plugin.checkpoints.fitting import Shapes

FILE = resources.files(__package__) / "architectures.yml"
MEMBERS = "*"
"""Dimension of a rule that counts the members of a prefix."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One network in architectures.yml, which describes the fields."""

    keys: tuple[str, ...]
    before: tuple[str, ...] = ()
    arguments: dict[str, str | list[str]] = {}
    bf16: bool = True
    without: tuple[str, ...] = ()


@cache
def entries() -> dict[str, Entry]:
    """Return registered name -> entry."""
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return msgspec.convert(content, dict[str, Entry])


def arguments_of(entry: Entry, shapes: Shapes) -> dict[str, Any]:
    """Return the arguments of a network with weights of these `shapes`.

    Elements of a list whose weights do not exist are left out at its end.
    """
    arguments: dict[str, Any] = {}
    for name, rule in entry.arguments.items():
        if isinstance(rule, str):
            values = [_value(rule, shapes)]
        else:
            values = [_value(element, shapes) for element in rule]
        present = [value for value in values if value]
        if present:
            arguments[name] = present[0] if isinstance(rule, str) else present
    return arguments


def _value(rule: str, shapes: Shapes) -> int:
    """Return the value of a rule, such as `intro.bias 0` or `encoders.0 *`; 0 without weights."""
    name, _, dimension = rule.rpartition(" ")
    if dimension == MEMBERS:
        return len(_members(name + ".", shapes))
    shape = shapes.get(name, ())
    return shape[int(dimension)] if len(shape) > int(dimension) else 0


def _members(prefix: str, shapes: Mapping[str, Any]) -> set[str]:
    """Return the next parts of the names that begin with `prefix`."""
    names = [name.removeprefix(prefix) for name in shapes if name.startswith(prefix)]
    return {name.partition(".")[0] for name in names}
