"""Check a block of an option file against its Structs: unknown keys, missing keys, wrong types."""

import inspect
import os
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from wxr_plugin.options.checks.components import ENGINES, GIVEN, find
from wxr_plugin.options.checks.report import Report, describe
from wxr_plugin.options.nested import Keys, OptionMap
from wxr_plugin.schema import Block, convert
from wxr_plugin.utils.safe_paths import name_fault

PLAIN = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
}
"""Names of types -> words for messages."""
SIGNS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
"""Bounds of msgspec.Meta -> words for messages."""


@dataclass(frozen=True)
class Field:
    """Type of a key of a block, and whether the key is required."""

    hint: Any
    required: bool
    needed_in_training: bool


def fields_of(structs: Sequence[type[Block]]) -> dict[str, Field]:
    """Return the keys that `structs` declare together; a later struct overrides an earlier one."""
    return {name: field for struct in structs for name, field in _fields(struct).items()}


@cache
def _fields(struct: type[Block]) -> dict[str, Field]:
    hints = get_type_hints(struct, include_extras=True)
    fields = {}
    for info in msgspec.structs.fields(struct):
        hint = hints[info.name]
        needed = notes(hint).get("needed") == "train"
        fields[info.encode_name] = Field(hint, info.required, needed)
    return fields


def notes(hint: Any) -> dict[str, Any]:
    """Return the `extra` of the `Annotated` types in `hint`, such as {"registry": "network"}.

    The types are those of wxr_plugin.schema; members of a union are included.
    """
    extras: dict[str, Any] = {}
    if get_origin(hint) is Annotated:
        inner, *metas = get_args(hint)
        extras |= notes(inner)
        for meta in metas:
            extras |= getattr(meta, "extra", None) or {}
    elif get_origin(hint) in (Union, types.UnionType):
        for part in get_args(hint):
            extras |= notes(part)
    return extras


def check_block(
    report: Report,
    keys: Keys,
    block: Any,
    structs: Sequence[type[Block]],
    optional: Sequence[type[Block]] = (),
    closed: bool = True,
) -> None:
    """Check `block` against the fields of `structs` and `optional`.

    Args:
        report: receives the problems.
        keys: path of the block.
        block: the value at `keys`.
        structs: declarations whose required keys must be there.
        optional: declarations none of whose keys is required.
        closed: report keys that no declaration has.
    """
    if not isinstance(block, Mapping):
        fault = f"{describe(block)}, where a block of keys belongs"
        report.add(keys, fault, "indent its keys below it")
        return
    before = len(report.problems)
    fields = fields_of([*structs, *optional])
    for key, value in block.items():
        if key in fields:
            check_value(report, (*keys, key), value, fields[key].hint)
        elif closed:
            report.unknown((*keys, key), fields)
    for key, field in fields_of(structs).items():
        # A key that training needs may also be present and empty, as in files for testing.
        is_absent = key not in block or (block[key] is None and field.needed_in_training)
        is_needed = field.required or (field.needed_in_training and report.is_train)
        if is_absent and is_needed:
            report.add((*keys, key), "missing", f"add it: {expected(field.hint)}")
    if len(report.problems) == before:
        _check_together(report, keys, block, structs)


def _check_together(
    report: Report,
    keys: Keys,
    block: OptionMap,
    structs: Sequence[type[Block]],
) -> None:
    """Run the `__post_init__` of `structs`, which raises if keys contradict one another."""
    for struct in structs:
        if hasattr(struct, "__post_init__"):
            try:
                struct.read(block)
            except msgspec.ValidationError as error:
                # msgspec appends the path inside the struct; `keys` is the path in the file.
                report.add(keys, re.sub(r" - at `.*`$", "", str(error)))


def check_value(report: Report, keys: Keys, value: Any, hint: Any) -> None:
    """Check one value against its type: also a block, list, dict or registered component."""
    extras = notes(hint)
    members = alternatives(hint)
    if value is None and type(None) in members:
        return
    if "registry" in extras:
        _check_registered(report, keys, value, extras["registry"])
        return
    before = len(report.problems)
    containers = [member for member in members if _could_hold(member, value)]
    if len(containers) == 1:
        _check_inside(report, keys, value, containers[0])
    if len(report.problems) > before:
        return
    try:
        convert(value, hint)
    except msgspec.ValidationError as error:
        _report_type(report, keys, value, hint, str(error))
        return
    if extras.get("exists"):
        _check_exists(report, keys, value)
    if extras.get("plain") and isinstance(value, str) and (fault := name_fault(value)):
        fix = "write a plain name: it becomes the name of a file or folder"
        report.add(keys, f"the name {value!r} {fault}", fix)


def _check_registered(report: Report, keys: Keys, block: Any, kind: str) -> None:
    """Check a block by the signature of its type, or by the `Options` of an engine."""
    if kind not in ENGINES:
        check_component(report, keys, block, kind)
    elif (engine := find(report, keys, block, kind)) is not None:
        check_block(report, keys, block, [engine.Options])


def _check_exists(report: Report, keys: Keys, value: Any) -> None:
    # os.path.exists returns False for a name that is too long, where Path.exists raises.
    if isinstance(value, str) and not os.path.exists(Path(value).expanduser()):
        report.add(keys, f"{value} does not exist", "correct the path or create the file")


def alternatives(hint: Any) -> list[Any]:
    """Return the members of a union without its annotations, or the type itself in a list."""
    if get_origin(hint) is Annotated:
        return alternatives(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return [part for member in get_args(hint) for part in alternatives(member)]
    return [hint]


def _is_block(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _is_list_of_one_type(hint: Any) -> bool:
    is_open_tuple = get_origin(hint) is tuple and Ellipsis in get_args(hint)
    return get_origin(hint) is list or is_open_tuple


def _could_hold(hint: Any, value: Any) -> bool:
    """Return whether `hint` is a block, a dict or a list of one type, and `value` of that kind."""
    if _is_block(hint) or get_origin(hint) is dict:
        return isinstance(value, Mapping)
    return _is_list_of_one_type(hint) and isinstance(value, list)


def _check_inside(report: Report, keys: Keys, value: Any, hint: Any) -> None:
    """Check the items of a block, dict or list one by one, so that each has its own place."""
    if _is_block(hint):
        check_block(report, keys, value, [hint])
    elif get_origin(hint) is dict:
        names, item_hint = get_args(hint)
        for key, item in value.items():
            if get_origin(names) is Literal and key not in get_args(names):
                report.unknown((*keys, key), get_args(names))
            else:
                check_value(report, (*keys, key), item, item_hint)
    else:
        for index, item in enumerate(value):
            check_value(report, (*keys, index), item, get_args(hint)[0])


def _report_type(report: Report, keys: Keys, value: Any, hint: Any, error: str) -> None:
    """Report a value of the wrong type or range; `error` is msgspec's message."""
    fix = f"write {expected(hint)}"
    if isinstance(value, str) and looks_like_number(value) and "number" in fix:
        fix = f"take the quotes off: {value}"
    place = re.search(r"at `\$(\[\d+\])+`", error)
    entry = f" (entry {place.group(1)})" if place else ""
    report.add(keys, f"{describe(value)}{entry} has the wrong type or range", fix)


def looks_like_number(text: str) -> bool:
    """Return whether `text` is a number in quotes."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def expected(hint: Any) -> str:
    """Return the type `hint` in words for a message: `a whole number at least 1`."""
    if get_origin(hint) is Annotated:
        inner, *metas = get_args(hint)
        return expected(inner) + _bounds(metas)
    if get_origin(hint) in (Union, types.UnionType):
        members = [expected(member) for member in get_args(hint) if member is not type(None)]
        return " or ".join(dict.fromkeys(members))  # each once, in order
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    if get_origin(hint) in (list, tuple):
        items = [expected(item) for item in get_args(hint) if item is not Ellipsis]
        if _is_list_of_one_type(hint):
            return f"a list, each item {items[0]}"
        return f"a list [{', '.join(items)}]"
    if _is_block(hint) or get_origin(hint) is dict:
        return "a block of keys"
    return PLAIN.get(getattr(hint, "__name__", ""), "a value")


def _bounds(metas: Sequence[Any]) -> str:
    parts = []
    for meta in metas:
        for name, words in SIGNS.items():
            limit = getattr(meta, name, None)
            if limit is not None:
                parts.append(f"{words} {limit}")
    if not parts:
        return ""
    return " " + " and ".join(parts)


def check_component(report: Report, keys: Keys, block: Any, kind: str) -> None:
    """Check a network, loss, metric, optimizer or scheduler: its type, and its arguments."""
    item = find(report, keys, block, kind)
    if item is None:
        return
    arguments = {key: value for key, value in block.items() if key != "type"}
    if kind == "metric":
        arguments.pop("better", None)  # read by the model, not by the metric
    check_arguments(report, keys, item, arguments, GIVEN.get(kind, ()))


def check_arguments(
    report: Report,
    keys: Keys,
    item: Callable,
    arguments: OptionMap,
    given: tuple[str, ...],
) -> None:
    """Check `arguments` against the signature of `item`; BasicSR passes the parameters `given`."""
    parameters = parameters_of(item, given)
    if parameters is None:
        return
    for name, value in arguments.items():
        place = (*keys, name)
        if name in parameters:
            _check_default(report, place, value, parameters[name].default)
            if "registry" in notes(parameters[name].annotation):
                check_value(report, place, value, parameters[name].annotation)
        elif not takes_any(item):
            report.unknown(place, parameters)
        if str(name).endswith("_path"):
            _check_exists(report, place, value)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in arguments:
            report.add((*keys, name), "missing", f"{item.__name__} needs it")


def parameters_of(
    item: Callable, given: tuple[str, ...] = ()
) -> dict[str, inspect.Parameter] | None:
    """Return the parameters that can be passed by name, without those of `given`.

    None if the signature is not known, as for some builtins.
    """
    try:
        signature = inspect.signature(item)
    except (TypeError, ValueError):
        return None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = signature.parameters.items()
    return {name: p for name, p in parameters if p.kind in named and name not in given}


def takes_any(item: Callable) -> bool:
    """Return whether `item` accepts any keyword and passes it on.

    BasicSR's own metrics accept any and ignore it, so there it does not count.
    """
    if getattr(item, "__module__", "").startswith("basicsr.metrics"):
        return False
    parameters = inspect.signature(item).parameters.values()
    return any(p.kind is p.VAR_KEYWORD for p in parameters)


def _check_default(report: Report, keys: Keys, value: Any, default: Any) -> None:
    """Report a text for a parameter whose default is a number or a truth value."""
    if not isinstance(value, str) or not isinstance(default, bool | int | float):
        return
    kind = "true or false" if isinstance(default, bool) else "a number"
    fix = f"write {kind}, such as {default!r}"
    report.add(keys, f"{describe(value)} has the wrong type", fix)
