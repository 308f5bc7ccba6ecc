"""The JSON schema (draft 7) of option blocks and of the types that their fields may have.

`msgspec.json.schema` is not used: its output changes with msgspec's version, and the shipped schema
must not.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from wxr_plugin.options.checks.fields import alternatives, fields_of, notes
from wxr_plugin.schema import Block

Json = dict[str, Any]
"""A JSON value that is an object."""

PLAIN = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    dict: "object",
    list: "array",
}
NUMBER_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}
LIST_BOUNDS = {"min_length": "minItems", "max_length": "maxItems"}
TEXT_BOUNDS = {"min_length": "minLength", "max_length": "maxLength", "pattern": "pattern"}


def block_schema(structs: Iterable[type[Block]], closed: bool = True) -> Json:
    """Return the schema of an object with the fields of `structs`, and no others if `closed`."""
    structs = list(structs)
    fields = fields_of(structs)
    required = sorted(name for name, field in fields.items() if field.required)
    result: Json = {
        "type": "object",
        "properties": properties(structs),
        "required": required,
    }
    if closed:
        result["additionalProperties"] = False
    return result


def properties(structs: Iterable[type[Block]]) -> Json:
    """Return the fields of `structs` as properties, described by the strings below them."""
    result = {}
    for struct in structs:
        texts = descriptions(struct)
        hints = get_type_hints(struct, include_extras=True)
        for field in msgspec.structs.fields(struct):
            entry = of_type(hints[field.name])
            if field.name in texts:
                entry["description"] = texts[field.name]
            if isinstance(field.default, bool | int | float | str):
                entry["default"] = field.default
            result[field.encode_name] = entry
    return result


def of_type(hint: Any) -> Json:
    """Return the schema of a type: plain, list, dict, union, block, or registered component.

    Raises:
        TypeError: the type has no JSON schema yet.
    """
    members = alternatives(hint)
    registry = notes(hint).get("registry")
    schemas: list[Json] = []
    if registry:
        schemas.append({"$ref": f"#/definitions/{registry}"})
    elif len(members) > 1:
        for member in _annotated_alternatives(hint):
            if member is not type(None):
                schemas.append(of_type(member))
    else:
        schemas.append(_bounded(hint))
    if type(None) in members:
        schemas.append({"type": "null"})
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _annotated_alternatives(hint: Any) -> list[Any]:
    """Return the members of a union with the annotations of each, without those of the union."""
    if get_origin(hint) is Annotated:
        inner = get_args(hint)[0]
        return _annotated_alternatives(inner)
    parts = []
    for member in get_args(hint):
        # A union may hold unions, which count as its own members.
        is_union = len(alternatives(member)) > 1
        if is_union:
            parts += _annotated_alternatives(member)
        else:
            parts.append(member)
    return parts


def _bounded(hint: Any) -> Json:
    """Return the schema of a type that is not a union, with the bounds of its annotations."""
    if get_origin(hint) is not Annotated:
        return _unbounded(hint)
    inner, *metas = get_args(hint)
    result = _bounded(inner)
    # msgspec has one name for the length of lists and of texts, JSON schema has two.
    by_kind = {"array": LIST_BOUNDS, "string": TEXT_BOUNDS}
    kind = result.get("type", "")
    names = by_kind.get(kind, NUMBER_BOUNDS)
    for meta in metas:
        for name, key in names.items():
            bound = getattr(meta, name, None)
            if bound is not None:
                result[key] = bound
    return result


def _unbounded(hint: Any) -> Json:
    """Return the schema of a type without annotations."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return {}
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return block_schema([hint])
    if origin is Literal:
        # Sorted, so that the shipped schema does not depend on the order of a union.
        return {"enum": sorted(arguments)}
    if origin is dict:
        return _dict(*arguments)
    is_open_tuple = origin is tuple and Ellipsis in arguments
    if origin is list or is_open_tuple:
        items = of_type(arguments[0])
        return {"type": "array", "items": items}
    if origin is tuple:
        return _fixed_list([of_type(item) for item in arguments])
    if hint in PLAIN:
        return {"type": PLAIN[hint]}
    raise TypeError(f"{hint} has no JSON schema; add it to {__name__}")


def _dict(keys: Any, values: Any) -> Json:
    result: Json = {"type": "object"}
    if get_origin(keys) is Literal:
        result["propertyNames"] = of_type(keys)
    if values is not Any:
        result["additionalProperties"] = of_type(values)
    return result


def _fixed_list(items: list[Json]) -> Json:
    """Return the schema of a list of fixed length in draft 7, the draft that editors support."""
    return {
        "type": "array",
        "items": items,
        "additionalItems": False,
        "minItems": len(items),
        "maxItems": len(items),
    }


@cache
def descriptions(struct: type[Block]) -> Mapping[str, str]:
    """Return the string below each field of `struct` and of its base classes."""
    texts: dict[str, str] = {}
    # Base classes come first, so that a class may describe an inherited field in its own words.
    for cls in reversed(struct.__mro__):
        if issubclass(cls, Block) and cls is not Block:
            # Python drops strings below fields, so they are read from the source.
            source = textwrap.dedent(inspect.getsource(cls))
            definition = ast.parse(source).body[0]
            texts |= _strings_below(definition.body)
    return texts


def _strings_below(body: list[ast.stmt]) -> dict[str, str]:
    """Return field -> the string in the statement below it, on one line."""
    """Return field -> the string in the statement below it, on one line."""
    texts = {}
    for field, below in pairwise(body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(below, ast.Expr):
            continue
        value = below.value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            texts[field.target.id] = " ".join(value.value.split())
    return texts
