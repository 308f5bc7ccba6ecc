"""The JSON schema (draft 7) of option files: all registered classes with their options."""

import inspect
import json
from collections.abc import Iterable
from typing import Any

from wxr_plugin import schema
from wxr_plugin.benchmark.options import BenchmarkOptions
from wxr_plugin.options.checks import stock
from wxr_plugin.options.checks.components import (
    ENGINES,
    GIVEN,
    default_type,
    package_of,
    registered,
    schedulers,
)
from wxr_plugin.options.checks.fields import fields_of, parameters_of, takes_any
from wxr_plugin.options.checks.json_types import Json, block_schema, properties
from wxr_plugin.schema import Block
from wxr_plugin.utils.namesakes import SUFFIX

DRAFT = "http://json-schema.org/draft-07/schema#"
# Suggestions only: every optimizer of torch is accepted. The list of torch itself changes with its
# version, and the shipped schema must not.
OPTIMIZERS = ("ASGD", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "SGD")


def text() -> str:
    """Return the shipped schema: of all that this package and BasicSR register; no plug-ins."""
    # Sorted keys and a final line feed, so that a new schema differs only where options do.
    return json.dumps(option_file(), indent=1, sort_keys=True) + "\n"


def option_file() -> Json:
    """Return the schema of an option file of a training or a benchmark."""
    models = ours("model")
    top = properties([schema.FileOptions]) | {
        "path": block_schema([schema.PathOptions], closed=False),
        "train": block_schema([schema.TrainCommon], closed=False),
        "val": block_schema([schema.ValOptions], closed=False),
        "datasets": {"type": "object", "additionalProperties": {"$ref": "#/definitions/dataset"}},
        "model_type": {
            "type": "string",
            "examples": sorted(models),
            "description": "Registered name of the model.",
        },
    }
    # Blocks of `train` and `val` refer to these by the kind that their annotation names.
    definitions = {"dataset": dataset_block(), "benchmark": block_schema([BenchmarkOptions])}
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
        # A file with methods and sets is a benchmark's; any other one is a training's or a test's.
        "if": {"required": ["methods", "sets"]},
        "then": {"$ref": "#/definitions/benchmark"},
        "else": {"required": required},
        "allOf": rules,
        "definitions": definitions,
    }


def ours(kind: str) -> dict[str, Any]:
    """Return what this package and BasicSR register of a kind, by bare names."""
    packages = ("basicsr", "wxr_plugin")
    chosen = {}
    for name, item in registered(kind).items():
        if package_of(item) in packages and not name.endswith(SUFFIX):
            chosen[name] = item
    return chosen


def model_blocks(model: type) -> Json:
    """Return the rule for files with this model: its keys at the top, in `train` and in `val`."""
    top = own_properties([schema.FileOptions], stock.declared(model, "TopOptions"))
    # The model's own keys of `train` and `val`; BasicSR's are described at the top level.
    for key, common in (("train", schema.TrainCommon), ("val", schema.ValOptions)):
        top["properties"][key] = own_properties(
            [common], stock.declared(model, f"{key.title()}Options")
        )
    return top


def own_properties(common: list[type[Block]], own: list[type[Block]]) -> Json:
    """Return the schema of an object with the fields of `own` and `common`, and no others.

    Fields of `common` are allowed by name only, since the enclosing schema describes them.
    """
    allowed: Json = dict.fromkeys(fields_of(common), True)
    required = sorted(name for name, field in fields_of(own).items() if field.required)
    return {
        "properties": allowed | properties(own),
        "required": required,
        "additionalProperties": False,
    }


def dataset_block() -> Json:
    """Return the schema of a dataset block: the common keys, and those of its type."""
    classes = ours("dataset")
    common = properties([schema.DatasetCommon])
    common["type"] = {**common["type"], "examples": sorted(classes)}
    rules = []
    for name, cls in sorted(classes.items()):
        own = stock.of_dataset(cls)
        if own:
            rules.append(when("type", name, own_properties([schema.DatasetCommon], [own])))
    return {"type": "object", "properties": common, "required": ["name", "type"], "allOf": rules}


def component(kind: str) -> Json:
    """Return the schema of a network, loss, metric or schedule: its type and its arguments."""
    items = schedulers() if kind == "scheduler" else ours(kind)
    rules = [when("type", name, call(item, kind)) for name, item in sorted(items.items())]
    return typed(items) | {"allOf": rules}


def typed(names: Iterable[str]) -> Json:
    """Return the schema of a block whose `type` may be one of `names`, among others."""
    kind = {"type": "string", "examples": sorted(names)}
    return {"type": "object", "properties": {"type": kind}, "required": ["type"]}


def engine(kind: str) -> Json:
    """Return the schema of a rater, describer or rewriter, whose type has a default."""
    classes = ours(kind)
    # The rule `absent` below is for blocks without a type.
    usual = default_type(kind)
    type_schema = {
        "type": "string",
        "default": usual,
        "examples": sorted(classes),
        "description": f"Class of the {kind}.",
    }
    rules = [
        when("type", name, block_schema([cls.Options])) for name, cls in sorted(classes.items())
    ]
    absent = {"if": {"not": {"required": ["type"]}}, "then": block_schema([classes[usual].Options])}
    return {"type": "object", "properties": {"type": type_schema}, "allOf": [*rules, absent]}


def call(item: Any, kind: str) -> Json:
    """Return the schema of the arguments of a registered class or function."""
    parameters = parameters_of(item, GIVEN.get(kind, ())) or {}
    arguments = {name: default(parameter) for name, parameter in parameters.items()}
    arguments["type"] = {}
    if kind == "metric":
        # Read by the model that validates, not by the metric.
        arguments["better"] = {
            "enum": ["higher", "lower"],
            "description": "Which way is better; higher when absent.",
        }
    # Parameters without a default.
    required = sorted(name for name, p in parameters.items() if p.default is p.empty)
    return {
        "properties": arguments,
        "required": required,
        "additionalProperties": takes_any(item),
    }


def default(parameter: inspect.Parameter) -> Json:
    """Return the schema of an argument: its default, if JSON can hold it."""
    # JSON has no tuples.
    value = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
    plain = isinstance(value, bool | int | float | str | list | dict)
    return {"default": value} if plain else {}


def when(key: str, value: str, then: Json) -> Json:
    """Return the rule that the schema `then` applies if `key` is `value`."""
    # `required`, because a property that is absent would satisfy `const`.
    return {"if": {"properties": {key: {"const": value}}, "required": [key]}, "then": then}
