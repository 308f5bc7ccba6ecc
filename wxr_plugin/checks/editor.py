"""The JSON schema from which editors complete and check option files (draft 7, for yaml-language-server)."""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from wxr_plugin import schema
from wxr_plugin.benchmark.options import BenchmarkOptions
from wxr_plugin.checks import stock
from wxr_plugin.checks.components import (
    ENGINES,
    GIVEN,
    default_type,
    optimizers,
    parameters_of,
    registered,
    schedulers,
    takes_any,
)
from wxr_plugin.checks.fields import alternatives, fields_of, notes
from wxr_plugin.namesakes import SUFFIX
from wxr_plugin.schema import Block

SHIPPED = Path(__file__).parents[1] / "options.schema.json"
DRAFT = "http://json-schema.org/draft-07/schema#"
Json = dict[str, Any]


def text() -> str:
    """The schema as it is shipped: of everything that this package and BasicSR register, without other plug-ins."""
    return json.dumps(option_file(), indent=1, sort_keys=True) + "\n"


def option_file() -> Json:
    """The schema of a whole option file, of a training or of a benchmark."""
    models = ours("model")
    top = properties([schema.FileOptions]) | {
        "path": block([schema.PathOptions], closed=False),
        "train": block([schema.TrainCommon], closed=False),
        "val": block([schema.ValOptions], closed=False),
        "datasets": {"type": "object", "additionalProperties": {"$ref": "#/definitions/dataset"}},
        "model_type": {"type": "string", "examples": sorted(models), "description": "Registered name of the model."},
    }
    definitions = {"dataset": dataset_block(), "benchmark": block([BenchmarkOptions])}
    definitions |= {kind: component(kind) for kind in ("network", "loss", "metric", "optimizer", "scheduler")}
    definitions |= {kind: engine(kind) for kind in ENGINES if ours(kind)}
    required = ["name", "model_type", "num_gpu", "datasets", "path"]
    rules = [when("model_type", name, model_blocks(model)) for name, model in sorted(models.items())]
    return {
        "$schema": DRAFT,
        "title": "Option file of BasicSR with wxr_plugin",
        "type": "object",
        "properties": top,
        "if": {"required": ["methods", "sets"]},
        "then": {"$ref": "#/definitions/benchmark"},
        "else": {"required": required},
        "allOf": rules,
        "definitions": definitions,
    }


def ours(kind: str) -> dict[str, Any]:
    """Return what this package and BasicSR register of a kind, by bare names."""
    packages = ("basicsr", "wxr_plugin")
    known = {name: item for name, item in registered(kind).items() if not name.endswith(SUFFIX)}
    return {name: item for name, item in known.items() if item.__module__.split(".")[0] in packages}


def model_blocks(model: type) -> Json:
    """The rule for a file with this model: its keys at the top level, in `train` and in `val`; no others."""
    top = beside([schema.FileOptions], stock.declared(model, "TopOptions"))
    for key, common in (("train", schema.TrainCommon), ("val", schema.ValOptions)):
        top["properties"][key] = beside([common], stock.declared(model, f"{key.title()}Options"))
    return top


def beside(common: list[type[Block]], own: list[type[Block]]) -> Json:
    """The fields of `own`, and by name only those of `common`, which are described elsewhere; no others."""
    known: Json = dict.fromkeys(fields_of(common), True)
    required = sorted(name for name, field in fields_of(own).items() if field.required)
    return {"properties": known | properties(own), "required": required, "additionalProperties": False}


def dataset_block() -> Json:
    """A dataset block: the common keys, and those of its type."""
    classes = ours("dataset")
    common = properties([schema.DatasetCommon])
    common["type"] = {**common["type"], "examples": sorted(classes)}
    rules = [
        when("type", name, beside([schema.DatasetCommon], [own]))
        for name, cls in sorted(classes.items())
        if (own := stock.of_dataset(cls))
    ]
    return {"type": "object", "properties": common, "required": ["name", "type"], "allOf": rules}


def component(kind: str) -> Json:
    """A network, loss, metric, optimizer or schedule: its type, and the arguments of its constructor."""
    names = {"optimizer": optimizers, "scheduler": schedulers}.get(kind, lambda: ours(kind))()
    result: Json = {"type": "object", "properties": {"type": {"type": "string", "examples": sorted(names)}}}
    result["required"] = ["type"]
    if kind != "optimizer":  # torch's arguments change from version to version
        result["allOf"] = [when("type", name, call(item, kind)) for name, item in sorted(names.items())]
    return result


def engine(kind: str) -> Json:
    """A rater, describer or rewriter: its type, which has a default, and the keys of that type."""
    names, usual = ours(kind), default_type(kind)
    words = {"type": "string", "default": usual, "examples": sorted(names), "description": f"Class of the {kind}."}
    rules = [when("type", name, block([item.Options])) for name, item in sorted(names.items())]
    absent = {"if": {"not": {"required": ["type"]}}, "then": block([names[usual].Options])}
    return {"type": "object", "properties": {"type": words}, "allOf": [*rules, absent]}


def call(item: Any, kind: str) -> Json:
    """The arguments of a registered class or function."""
    parameters = parameters_of(item, GIVEN.get(kind, ())) or {}
    found = {name: default(parameter) for name, parameter in parameters.items()} | {"type": {}}
    if kind == "metric":
        found["better"] = {"enum": ["higher", "lower"], "description": "Which way is better; higher when absent."}
    required = sorted(name for name, p in parameters.items() if p.default is p.empty)
    return {"properties": found, "required": required, "additionalProperties": takes_any(item)}


def default(parameter: inspect.Parameter) -> Json:
    """What the default of a parameter says of it."""
    value = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
    plain = isinstance(value, bool | int | float | str | list | dict)
    return {"default": value} if plain else {}


def when(key: str, value: str, then: Json) -> Json:
    """`then` holds where `key` is `value`."""
    return {"if": {"properties": {key: {"const": value}}, "required": [key]}, "then": then}


def block(structs: Iterable[type[Block]], closed: bool = True) -> Json:
    """An object with the fields of `structs`, and no others if `closed`."""
    structs = list(structs)
    required = sorted(name for name, field in fields_of(structs).items() if field.required)
    result: Json = {"type": "object", "properties": properties(structs), "required": required}
    return result | {"additionalProperties": False} if closed else result


def properties(structs: Iterable[type[Block]]) -> Json:
    """The fields of `structs` as JSON-schema properties, with the strings below them as descriptions."""
    found = {}
    for struct in structs:
        words = descriptions(struct)
        hints = get_type_hints(struct, include_extras=True)
        for info in msgspec.structs.fields(struct):
            found[info.encode_name] = value(hints[info.name])
            if info.name in words:
                found[info.encode_name] = found[info.encode_name] | {"description": words[info.name]}
            if isinstance(info.default, bool | int | float | str):
                found[info.encode_name] = found[info.encode_name] | {"default": info.default}
    return found


def value(hint: Any) -> Json:
    """The schema of one type; references and blocks are put where msgspec does not know them."""
    registry = notes(hint).get("registry")
    options = alternatives(hint)
    if registry:
        found: list[Json] = [{"$ref": f"#/definitions/{registry}"}]
    elif not any(special(option) for option in options):
        return draft_7(msgspec.json.schema(hint))
    else:
        found = [inner(option) for option in options if option is not type(None)]
    if type(None) in options:
        found.append({"type": "null"})
    return found[0] if len(found) == 1 else {"anyOf": found}


def special(hint: Any) -> bool:
    """Whether a block or a registered component is in `hint`."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return True
    return any("registry" in notes(part) or any(map(special, alternatives(part))) for part in get_args(hint))


def inner(hint: Any) -> Json:
    """A block, or a dict or list of blocks or components, or any plain type."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return block([hint])
    if get_origin(hint) is dict and special(hint):
        return {"type": "object", "additionalProperties": value(get_args(hint)[1])}
    if get_origin(hint) in (list, tuple) and special(hint):
        return {"type": "array", "items": value(get_args(hint)[0])}
    return draft_7(msgspec.json.schema(hint))


def draft_7(node: Any) -> Any:
    """`node` with lists of fixed length as draft 7 writes them, which is what editors know."""
    if isinstance(node, list | tuple):
        return [draft_7(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    node = {key: draft_7(item) for key, item in node.items()}
    return node | {"items": node.pop("prefixItems"), "additionalItems": False} if "prefixItems" in node else node


@cache
def descriptions(struct: type[Block]) -> Mapping[str, str]:
    """The string below each field of `struct` and of its base classes."""
    words: dict[str, str] = {}
    for cls in reversed(struct.__mro__):
        if issubclass(cls, Block) and cls is not Block:
            body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
            words |= _strings_below(body.body)
    return words


def _strings_below(body: list[ast.stmt]) -> dict[str, str]:
    words = {}
    for field, below in pairwise(body):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and is_text and isinstance(below.value.value, str):
            words[field.target.id] = " ".join(below.value.value.split())
    return words
