"""A block of an option file against its Structs: unknown keys, missing keys, wrong types."""

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
from wxr_plugin.options.checks.report import Keys, Report, describe
from wxr_plugin.schema import Block, convert
from wxr_plugin.utils.safe_paths import name_fault

PLAIN = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
}


@dataclass(frozen=True)
class Field:
    """A key of a block: its type, and when it is required."""

    hint: Any
    required: bool
    needed_in_training: bool


def fields_of(structs: Sequence[type[Block]]) -> dict[str, Field]:
    """The keys that `structs` declare together; where two declare one, the later struct counts."""
    return {name: field for struct in structs for name, field in _fields(struct).items()}


@cache
def _fields(struct: type[Block]) -> dict[str, Field]:
    hints = get_type_hints(struct, include_extras=True)
    found = {}
    for info in msgspec.structs.fields(struct):
        hint = hints[info.name]
        found[info.encode_name] = Field(hint, info.required, notes(hint).get("needed") == "train")
    return found


def notes(hint: Any) -> dict[str, Any]:
    """What `Annotated` types of wxr_plugin.schema say of a value beyond its type, through `| None`."""
    found: dict[str, Any] = {}
    if get_origin(hint) is Annotated:
        inner, *metas = get_args(hint)
        found |= notes(inner)
        for meta in metas:
            found |= getattr(meta, "extra", None) or {}
    elif get_origin(hint) in (Union, types.UnionType):
        for part in get_args(hint):
            found |= notes(part)
    return found


def check_block(
    report: Report,
    keys: Keys,
    block: Any,
    structs: Sequence[type[Block]],
    optional: Sequence[type[Block]] = (),
    closed: bool = True,
) -> None:
    """Check `block` against the fields of `structs`, and of `optional`, none of whose keys is required.

    Unless `closed`, keys beyond them are accepted.
    """
    if not isinstance(block, Mapping):
        report.add(
            keys, f"{describe(block)}, where a block of keys belongs", "indent its keys below it"
        )
        return
    before = len(report.problems)
    fields = fields_of([*structs, *optional])
    for key, value in block.items():
        if key in fields:
            check_value(report, (*keys, key), value, fields[key].hint)
        elif closed:
            report.unknown((*keys, key), fields)
    for key, field in fields_of(structs).items():
        absent = key not in block or (block[key] is None and field.needed_in_training)
        if absent and (field.required or (field.needed_in_training and report.is_train)):
            report.add((*keys, key), "missing", f"add it: {expected(field.hint)}")
    if len(report.problems) == before:
        _check_together(report, keys, block, structs)


def _check_together(
    report: Report, keys: Keys, block: Mapping[str, Any], structs: Sequence[type[Block]]
) -> None:
    """Run the `__post_init__` of `structs`, which says what keys do not go together."""
    for struct in structs:
        if hasattr(struct, "__post_init__"):
            try:
                struct.read(block)
            except msgspec.ValidationError as error:
                report.add(keys, re.sub(r" - at `.*`$", "", str(error)))


def check_value(report: Report, keys: Keys, value: Any, hint: Any) -> None:
    """Check one value against its type, into blocks, lists, dicts and registered components."""
    said = notes(hint)
    options = alternatives(hint)
    if value is None and type(None) in options:
        return
    if "registry" in said:
        _check_registered(report, keys, value, said["registry"])
        return
    before = len(report.problems)
    inner = [option for option in options if _could_hold(option, value)]
    if len(inner) == 1:
        _check_inside(report, keys, value, inner[0])
    if len(report.problems) > before:
        return
    try:
        convert(value, hint)
    except msgspec.ValidationError as error:
        _report_type(report, keys, value, hint, str(error))
        return
    if (
        said.get("exists")
        and isinstance(value, str)
        and not os.path.exists(Path(value).expanduser())
    ):
        report.add(keys, f"{value} does not exist", "correct the path or make the file")
    if said.get("plain") and isinstance(value, str) and (fault := name_fault(value)):
        report.add(
            keys,
            f"the name {value!r} {fault}",
            "write a plain name: a file or folder is named after it",
        )


def _check_registered(report: Report, keys: Keys, block: Any, kind: str) -> None:
    """Check a block by the signature of what its type names, or by the `Options` of an engine."""
    if kind not in ENGINES:
        check_component(report, keys, block, kind)
    elif (engine := find(report, keys, block, kind)) is not None:
        check_block(report, keys, block, [engine.Options])


def alternatives(hint: Any) -> list[Any]:
    """The members of a union, with outer annotations taken off."""
    if get_origin(hint) is Annotated:
        return alternatives(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return [part for option in get_args(hint) for part in alternatives(option)]
    return [hint]


def _is_block(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _could_hold(hint: Any, value: Any) -> bool:
    """Whether `hint` is a block, a dict or a list of one type, and `value` of that kind."""
    if _is_block(hint):
        return isinstance(value, Mapping)
    if get_origin(hint) is dict:
        return isinstance(value, Mapping)
    one_type = get_origin(hint) is list or (
        get_origin(hint) is tuple and Ellipsis in get_args(hint)
    )
    return one_type and isinstance(value, list)


def _check_inside(report: Report, keys: Keys, value: Any, hint: Any) -> None:
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
    mend = f"write {expected(hint)}"
    if isinstance(value, str) and looks_like_number(value) and "number" in mend:
        mend = f"take the quotes off: {value}"
    place = re.search(r"at `\$(\[\d+\])+`", error)
    where = f" (entry {place.group(1)})" if place else ""
    report.add(keys, f"{describe(value)}{where} has the wrong type or range", mend)


def looks_like_number(text: str) -> bool:
    """Whether `text` is a number in quotes."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def expected(hint: Any) -> str:
    """`hint` in words for a message."""
    if get_origin(hint) is Annotated:
        return expected(get_args(hint)[0]) + _bounds(get_args(hint)[1:])
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(
            dict.fromkeys(expected(option) for option in get_args(hint) if option is not type(None))
        )
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    if get_origin(hint) in (list, tuple):
        items = [expected(item) for item in get_args(hint) if item is not Ellipsis]
        same = get_origin(hint) is list or Ellipsis in get_args(hint)
        return f"a list of {items[0]} each" if same else f"a list [{', '.join(items)}]"
    if _is_block(hint) or get_origin(hint) is dict:
        return "a block of keys"
    return PLAIN.get(getattr(hint, "__name__", ""), "a value")


def _bounds(metas: Sequence[Any]) -> str:
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    parts = [
        f"{words} {getattr(meta, name)}"
        for meta in metas
        for name, words in signs.items()
        if getattr(meta, name, None) is not None
    ]
    return " " + " and ".join(parts) if parts else ""


def check_component(report: Report, keys: Keys, block: Any, kind: str) -> None:
    """Check a network, loss, metric, optimizer or scheduler block: its type, and its arguments by signature."""
    item = find(report, keys, block, kind)
    if item is None:
        return
    arguments = {key: value for key, value in block.items() if key != "type"}
    if kind == "metric":
        arguments.pop("better", None)  # read by the model, not by the metric
    check_arguments(report, keys, item, arguments, GIVEN.get(kind, ()))


def check_arguments(
    report: Report, keys: Keys, item: Callable, arguments: Mapping[str, Any], given: tuple[str, ...]
) -> None:
    """Check `arguments` against the signature of `item`; those of `given` are passed by the caller."""
    parameters = parameters_of(item, given)
    if parameters is None:
        return
    for name, value in arguments.items():
        if name not in parameters and not takes_any(item):
            report.unknown((*keys, name), parameters)
        elif name in parameters:
            _check_default(report, (*keys, name), value, parameters[name].default)
            _check_inner_block(report, (*keys, name), value, parameters[name].annotation)
        _check_path(report, (*keys, name), value)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in arguments:
            report.add((*keys, name), "missing", f"{item.__name__} needs it")


def parameters_of(
    item: Callable, given: tuple[str, ...] = ()
) -> dict[str, inspect.Parameter] | None:
    """The parameters that can be passed by name, without those of `given`; None where Python does not know them."""
    try:
        signature = inspect.signature(item)
    except (TypeError, ValueError):
        return None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        name: p for name, p in signature.parameters.items() if p.kind in named and name not in given
    }


def takes_any(item: Callable) -> bool:
    """Whether `item` passes on any keyword.

    BasicSR's own metrics swallow theirs, so there it means nothing.
    """
    if getattr(item, "__module__", "").startswith("basicsr.metrics"):
        return False
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(item).parameters.values())


def _check_default(report: Report, keys: Keys, value: Any, default: Any) -> None:
    """A text where the default is a number or a truth value is wrong; mostly it is a quoted number."""
    if not isinstance(value, str) or not isinstance(default, bool | int | float):
        return
    wanted = "true or false" if isinstance(default, bool) else "a number"
    report.add(
        keys, f"{describe(value)} has the wrong type", f"write {wanted}, such as {default!r}"
    )


def _check_inner_block(report: Report, keys: Keys, value: Any, hint: Any) -> None:
    """An argument that is annotated as a rater's, loss's, … block."""
    from wxr_plugin.options.checks.fields import check_value, notes

    if "registry" in notes(hint):
        check_value(report, keys, value, hint)


def _check_path(report: Report, keys: Keys, value: Any) -> None:
    if (
        str(keys[-1]).endswith("_path")
        and isinstance(value, str)
        and not os.path.exists(Path(value).expanduser())
    ):
        report.add(keys, f"{value} does not exist", "correct the path or make the file")
