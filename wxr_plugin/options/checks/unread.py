"""Check keys that another project's model would silently ignore."""

import inspect
import linecache
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from wxr_plugin.options.checks import stock
from wxr_plugin.options.checks.components import (
    lookup,
    optimizers,
    package_of,
    registered,
    schedulers,
)
from wxr_plugin.options.checks.fields import fields_of
from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.nested import Keys, OptionMap
from wxr_plugin.utils.namesakes import is_ours

KINDS = ("loss", "network", "model", "dataset", "metric")
"""Kinds that a `*_opt` block may name."""
KNOWN_SOURCES = ("basicsr", "wxr_plugin", "torch", "builtins")
"""Packages whose classes read only the keys that they declare."""


def check_unread(
    report: Report,
    keys: Keys,
    block: OptionMap,
    declared: Iterable[str],
    model: type | None,
    declaration: str,
) -> None:
    """Check the keys of `block` that are not `declared`, where any key is accepted.

    Args:
        report: receives the problems.
        keys: path of the block.
        block: `train`, `val` or the whole file.
        declared: keys of `model` and BasicSR, which are checked elsewhere.
        model: another project's model; None if its name is not registered.
        declaration: TopOptions, TrainOptions or ValOptions.
    """
    more = {key: value for key, value in block.items() if key not in declared}
    for key, value in more.items():
        name = value.get("type") if isinstance(value, Mapping) else None
        if str(key).endswith("_opt") and isinstance(name, str):
            _check_registered(report, (*keys, key, "type"), name)
    if model is None:
        return
    for key in more.keys() & _our_keys(declaration):
        # A model that mentions the key may read it in a way of its own.
        if not mentions(package_source(model), key):
            fault = f"only models of this package read it, not {model.__name__}"
            readers = " or ".join(_readers(declaration, key))
            report.add((*keys, key), fault, f"use model_type: {readers}, or take it out")


def _check_registered(report: Report, keys: Keys, name: str) -> None:
    """Check that a `*_opt` block names something that is registered, usually a loss."""
    is_registered = any(name in registered(kind) for kind in KINDS)
    if not is_registered and name not in optimizers() | schedulers():
        lookup(report, keys, name, "loss")


@cache
def _our_keys(declaration: str) -> frozenset[str]:
    """Return the keys that models of this package add to BasicSR's."""
    stock_structs = [
        struct for model in stock.MODELS.values() for struct in model.get(declaration, ())
    ]
    our_structs: list[Any] = []
    for model in _our_models():
        our_structs += stock.declared(model, declaration)
    return frozenset(fields_of(our_structs).keys() - fields_of(stock_structs).keys())


def _our_models() -> list[type]:
    models = {item for item in registered("model").values() if is_ours(item)}
    return sorted(models, key=lambda model: model.__name__)


def _readers(declaration: str, key: str) -> list[str]:
    """Return the models that read `key`; WxrModel alone if it does, as others derive from it."""
    names = []
    for model in _our_models():
        if key in fields_of(stock.declared(model, declaration)):
            names.append(model.__name__)
    return ["WxrModel"] if "WxrModel" in names else names


def mentions(source: str | None, word: str) -> bool:
    """Return whether `word` stands in a source; True if the source is not known."""
    if source is None:
        return True
    return re.search(rf"\b{re.escape(word)}\b", source) is not None


def class_source(cls: type) -> str | None:
    """Return the source of `cls` and its bases of other projects; None if one has none."""
    bases = [base for base in cls.__mro__ if package_of(base) not in KNOWN_SOURCES]
    return _joined(bases)


def package_source(cls: type) -> str | None:
    """Return the source of all loaded modules of the packages of `cls` and its bases."""
    packages = {package_of(base) for base in cls.__mro__} - set(KNOWN_SOURCES)
    modules = []
    for name, module in list(sys.modules.items()):
        if module and name.split(".")[0] in packages:
            modules.append(module)
    return _joined(modules)


def _joined(items: list[Any]) -> str | None:
    try:
        return "\n".join(inspect.getsource(item) for item in items if not _is_empty(item))
    except (OSError, TypeError):
        return None


def _is_empty(item: Any) -> bool:
    """Return whether a module is a namespace package or an empty file, which have no source."""
    if not inspect.ismodule(item):
        return False
    file = getattr(item, "__file__", None)
    return file is None or (file.endswith(".py") and not linecache.getlines(file))
