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

from wxr_plugin.errors import WxrError
from wxr_plugin.hub import is_reference, read_reference
from wxr_plugin.hub.references import FORM
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
    fields: dict[str, Field] = {}
    for struct in structs:
        fields |= _fields(struct)
    return fields


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
            extra = getattr(meta, "extra", None)
            extras |= extra or {}
    elif _is_union(hint):
        for part in get_args(hint):
            extras |= notes(part)
    return extras


def _is_union(hint: Any) -> bool:
    # `X | Y` and `Union[X, Y]` have origins of their own.
    return get_origin(hint) in (Union, types.UnionType)


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
        place = (*keys, key)
        if key in fields:
            check_value(report, place, value, fields[key].hint)
        elif closed:
            report.unknown(place, fields)
    _check_missing(report, keys, block, fields_of(structs))
    # Fields that are wrong by themselves would make the messages of contradictions misleading.
    if len(report.problems) == before:
        _check_together(report, keys, block, structs)


def _check_missing(
    report: Report,
    keys: Keys,
    block: OptionMap,
    fields: Mapping[str, Field],
) -> None:
    """Report the required keys that a block lacks."""
    for key, field in fields.items():
        is_absent = key not in block
        is_needed = field.required
        if field.needed_in_training:
            # Such a key may also be present and empty, as in files for testing.
            is_absent = block.get(key) is None
            is_needed = field.required or report.is_train
        if is_absent and is_needed:
            fix = f"add it: {expected(field.hint)}"
            report.add((*keys, key), "missing", fix)


def _check_together(
    report: Report,
    keys: Keys,
    block: OptionMap,
    structs: Sequence[type[Block]],
) -> None:
    """Run the `__post_init__` of `structs`, which raises if keys contradict one another."""
    for struct in structs:
        if not hasattr(struct, "__post_init__"):
            continue
        try:
            struct.read(block)
        except msgspec.ValidationError as error:
            # msgspec appends the path inside the struct; `keys` is the path in the file.
            fault = re.sub(r" - at `.*`$", "", str(error))
            report.add(keys, fault)


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
    # With several, the message of `convert` below names all of them.
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
    if extras.get("plain"):
        _check_plain(report, keys, value)


def _check_plain(report: Report, keys: Keys, value: Any) -> None:
    """Report a name that could not be the name of a file or folder."""
    if not isinstance(value, str):
        return
    name_problem = name_fault(value)
    if name_problem:
        fix = "write a plain name: it becomes the name of a file or folder"
        report.add(keys, f"the name {value!r} {name_problem}", fix)


def _check_registered(report: Report, keys: Keys, block: Any, kind: str) -> None:
    """Check a block by the signature of its type, or by the `Options` of an engine."""
    if kind not in ENGINES:
        check_component(report, keys, block, kind)
        return
    engine = find(report, keys, block, kind)
    if engine is not None:
        check_block(report, keys, block, [engine.Options])


def _check_exists(report: Report, keys: Keys, value: Any) -> None:
    """Report a path at which there is nothing."""
    if not isinstance(value, str):
        return
    if is_reference(value) and _may_be_on_the_hub(str(keys[-1])):
        _check_reference(report, keys, value)
        return
    # os.path.exists returns False for a name that is too long, where Path.exists raises.
    exists = os.path.exists(Path(value).expanduser())
    if not exists:
        fix = "correct the path or create the file"
        report.add(keys, f"{value} does not exist", fix)


def _may_be_on_the_hub(key: str) -> bool:
    """Return whether a key names a file of weights, prompts or options, and no photos."""
    return key == "opt" or key.startswith("pretrain_network") or key.endswith("_path")


def _check_reference(report: Report, keys: Keys, value: str) -> None:
    """Report a reference to the hub that does not have its form; the hub is not asked."""
    try:
        read_reference(value)
    except WxrError:
        report.add(keys, f"{value} is not a reference to the hub", f"write {FORM}")


def alternatives(hint: Any) -> list[Any]:
    """Return the members of a union without its annotations, or the type itself in a list."""
    if get_origin(hint) is Annotated:
        inner = get_args(hint)[0]
        return alternatives(inner)
    if not _is_union(hint):
        return [hint]
    parts = []
    for member in get_args(hint):
        parts += alternatives(member)
    return parts


def _is_block(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _is_list_of_one_type(hint: Any) -> bool:
    origin = get_origin(hint)
    # tuple[int, ...], which has an ellipsis among its arguments.
    is_open_tuple = origin is tuple and Ellipsis in get_args(hint)
    return origin is list or is_open_tuple


def _could_hold(hint: Any, value: Any) -> bool:
    """Return whether `hint` is a block, a dict or a list of one type, and `value` of that kind."""
    if _is_block(hint) or get_origin(hint) is dict:
        return isinstance(value, Mapping)
    if _is_list_of_one_type(hint):
        return isinstance(value, list)
    return False


def _check_inside(report: Report, keys: Keys, value: Any, hint: Any) -> None:
    """Check the items of a block, dict or list one by one, so that each has its own place."""
    if _is_block(hint):
        check_block(report, keys, value, [hint])
    elif get_origin(hint) is dict:
        _check_dict(report, keys, value, hint)
    else:
        item_hint = get_args(hint)[0]
        for index, item in enumerate(value):
            check_value(report, (*keys, index), item, item_hint)


def _check_dict(report: Report, keys: Keys, value: OptionMap, hint: Any) -> None:
    """Check the keys of a dict, if `hint` lists them, and its values."""
    key_hint, item_hint = get_args(hint)
    # Of any other type of keys, every key is accepted.
    is_listed = get_origin(key_hint) is Literal
    names = get_args(key_hint)
    for key, item in value.items():
        place = (*keys, key)
        if is_listed and key not in names:
            report.unknown(place, names)
        else:
            check_value(report, place, item, item_hint)


def _report_type(report: Report, keys: Keys, value: Any, hint: Any, error: str) -> None:
    """Report a value of the wrong type or range; `error` is msgspec's message."""
    fix = f"write {expected(hint)}"
    is_quoted = isinstance(value, str) and looks_like_number(value)
    if is_quoted and "number" in fix:
        fix = f"take the quotes off: {value}"
    # msgspec names an entry of a list as at `$[0]`.
    place = re.search(r"at `\$(\[\d+\])+`", error)
    entry = f" (entry {place.group(1)})" if place else ""
    fault = f"{describe(value)}{entry} has the wrong type or range"
    report.add(keys, fault, fix)


def looks_like_number(text: str) -> bool:
    """Return whether `text` is a number in quotes."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def expected(hint: Any) -> str:
    """Return the type `hint` in words for a message: `a whole number at least 1`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner, *metas = arguments
        return expected(inner) + _bounds(metas)
    if _is_union(hint):
        members = [expected(member) for member in arguments if member is not type(None)]
        return " or ".join(dict.fromkeys(members))  # each once, in order
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin in (list, tuple):
        return _expected_list(hint)
    if _is_block(hint) or origin is dict:
        return "a block of keys"
    name = getattr(hint, "__name__", "")
    return PLAIN.get(name, "a value")


def _expected_list(hint: Any) -> str:
    """Return the type of a list or tuple in words."""
    items = [expected(item) for item in get_args(hint) if item is not Ellipsis]
    if _is_list_of_one_type(hint):
        return f"a list, each item {items[0]}"
    return f"a list [{', '.join(items)}]"


def _bounds(metas: Sequence[Any]) -> str:
    """Return the bounds of a number in words: " at least 0 and below 1"; "" without any."""
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
    given = GIVEN.get(kind, ())
    check_arguments(report, keys, item, arguments, given)


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
            parameter = parameters[name]
            _check_default(report, place, value, parameter.default)
            # A loss may take a rater or a network of its own.
            if "registry" in notes(parameter.annotation):
                check_value(report, place, value, parameter.annotation)
        elif not takes_any(item):
            report.unknown(place, parameters)
        if str(name).endswith("_path"):
            _check_exists(report, place, value)
    for name, parameter in parameters.items():
        is_required = parameter.default is parameter.empty
        if is_required and name not in arguments:
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
    parameters = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind in named and name not in given:
            parameters[name] = parameter
    return parameters


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
    has_plain_default = isinstance(default, bool | int | float)
    if not isinstance(value, str) or not has_plain_default:
        return
    # bool is tested first, because True is an int, too.
    kind = "true or false" if isinstance(default, bool) else "a number"
    fault = f"{describe(value)} has the wrong type"
    report.add(keys, fault, f"write {kind}, such as {default!r}")
