"""`wxr schema`: the JSON schema from which editors complete and check option files (draft 7, yaml-language-server)."""

import argparse
import inspect
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wxr_plugin import schema
from wxr_plugin.benchmark.options import BenchmarkOptions
from wxr_plugin.cli.parsers import add_command
from wxr_plugin.options.checks import stock
from wxr_plugin.options.checks.components import (
    ENGINES,
    GIVEN,
    default_type,
    registered,
    schedulers,
)
from wxr_plugin.options.checks.fields import fields_of, parameters_of, takes_any
from wxr_plugin.options.checks.json_types import Json, block, properties
from wxr_plugin.schema import Block
from wxr_plugin.utils import files
from wxr_plugin.utils.namesakes import SUFFIX

SHIPPED = Path(__file__).parents[1] / "options.schema.json"
DRAFT = "http://json-schema.org/draft-07/schema#"
# Suggestions only: every optimizer of torch is accepted. The list of torch itself changes from
# version to version.
OPTIMIZERS = ("ASGD", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "SGD")

EXAMPLES = """examples:
  wxr schema > options.schema.json
  wxr schema --path

A first line such as this one gives an option file completion in editors with yaml-language-server:
  # yaml-language-server: $schema=../options.schema.json
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `schema` to the `wxr` command."""
    parser = add_command(
        subparsers, "schema", "print the JSON schema from which editors complete", run, EXAMPLES
    )
    parser.add_argument(
        "--path", action="store_true", help="print the path of the packaged schema instead"
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write the schema to FILE instead"
    )


def run(args: argparse.Namespace) -> int:
    """Print or write the JSON schema."""
    if args.path:
        print(SHIPPED)
    elif args.write:
        files.write_text(args.write, text())
    else:
        print(text(), end="")
    return 0


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
        "model_type": {
            "type": "string",
            "examples": sorted(models),
            "description": "Registered name of the model.",
        },
    }
    definitions = {"dataset": dataset_block(), "benchmark": block([BenchmarkOptions])}
    definitions |= {kind: component(kind) for kind in ("network", "loss", "metric", "scheduler")}
    definitions["optimizer"] = typed(OPTIMIZERS)
    definitions |= {kind: engine(kind) for kind in ENGINES if ours(kind)}
    required = ["name", "model_type", "num_gpu", "datasets", "path"]
    rules = [
        when("model_type", name, model_blocks(model)) for name, model in sorted(models.items())
    ]
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
    return {
        "properties": known | properties(own),
        "required": required,
        "additionalProperties": False,
    }


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
    """Return the schema of a network, loss, metric or schedule: its type, and the arguments of its constructor."""
    items = schedulers() if kind == "scheduler" else ours(kind)
    rules = [when("type", name, call(item, kind)) for name, item in sorted(items.items())]
    return typed(items) | {"allOf": rules}


def typed(names: Iterable[str]) -> Json:
    """Return the schema of a block whose `type` may be one of `names`, among others."""
    kind = {"type": "string", "examples": sorted(names)}
    return {"type": "object", "properties": {"type": kind}, "required": ["type"]}


def engine(kind: str) -> Json:
    """A rater, describer or rewriter: its type, which has a default, and the keys of that type."""
    names, usual = ours(kind), default_type(kind)
    words = {
        "type": "string",
        "default": usual,
        "examples": sorted(names),
        "description": f"Class of the {kind}.",
    }
    rules = [when("type", name, block([item.Options])) for name, item in sorted(names.items())]
    absent = {"if": {"not": {"required": ["type"]}}, "then": block([names[usual].Options])}
    return {"type": "object", "properties": {"type": words}, "allOf": [*rules, absent]}


def call(item: Any, kind: str) -> Json:
    """The arguments of a registered class or function."""
    parameters = parameters_of(item, GIVEN.get(kind, ())) or {}
    found = {name: default(parameter) for name, parameter in parameters.items()} | {"type": {}}
    if kind == "metric":
        found["better"] = {
            "enum": ["higher", "lower"],
            "description": "Which way is better; higher when absent.",
        }
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
