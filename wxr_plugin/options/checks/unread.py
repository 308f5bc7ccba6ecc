"""What another project's model would ignore in silence: keys of ours, and losses that nobody registers."""

import inspect
import linecache
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from wxr_plugin.options.checks import stock
from wxr_plugin.options.checks.components import lookup, optimizers, registered, schedulers
from wxr_plugin.options.checks.fields import fields_of
from wxr_plugin.options.checks.report import Keys, Report
from wxr_plugin.utils.namesakes import is_ours

KINDS = ("loss", "network", "model", "dataset", "metric")
KNOWN_SOURCES = ("basicsr", "wxr_plugin", "torch", "builtins")
"""Packages whose classes are known not to read what they do not declare."""


def check_unread(
    report: Report,
    keys: Keys,
    block: Mapping[str, Any],
    known: Iterable[str],
    model: type | None,
    declaration: str,
) -> None:
    """Check what `block` of a file holds besides the `known` keys, where any key is accepted.

    Args:
        known: keys that `model` and BasicSR declare, which are checked elsewhere.
        model: another project's model; None where its name is not registered.
        declaration: TopOptions, TrainOptions or ValOptions.
    """
    more = {key: value for key, value in block.items() if key not in known}
    for key, value in more.items():
        if (
            str(key).endswith("_opt")
            and isinstance(value, Mapping)
            and isinstance(value.get("type"), str)
        ):
            _check_registered(report, (*keys, key, "type"), value["type"])
    if model is None:
        return
    for key in more.keys() & _our_keys(declaration):
        if not mentions(package_source(model), key):
            what = f"only models of this package read it, and {model.__name__} is none"
            readers = " or ".join(_readers(declaration, key))
            report.add((*keys, key), what, f"use model_type: {readers}, or take it out")


def _check_registered(report: Report, keys: Keys, name: str) -> None:
    """Check that a `*_opt` block names something that is registered; mostly it is a loss."""
    other = any(name in registered(kind) for kind in KINDS) or name in optimizers() | schedulers()
    if not other:
        lookup(report, keys, name, "loss")


@cache
def _our_keys(declaration: str) -> frozenset[str]:
    """Return the keys that models of this package add to BasicSR's."""
    stocks = [struct for name in stock.MODELS for struct in stock.MODELS[name].get(declaration, ())]
    structs = [struct for model in _our_models() for struct in stock.declared(model, declaration)]
    return frozenset(fields_of(structs).keys() - fields_of(stocks).keys())


def _our_models() -> list[type]:
    return sorted(
        {item for item in registered("model").values() if is_ours(item)},
        key=lambda model: model.__name__,
    )


def _readers(declaration: str, key: str) -> list[str]:
    """Return the models that read `key`: WxrModel alone where it does, or those that add it."""
    names = [m.__name__ for m in _our_models() if key in fields_of(stock.declared(m, declaration))]
    return ["WxrModel"] if "WxrModel" in names else names


def mentions(source: str | None, word: str) -> bool:
    """Return whether `word` stands in a source; True where the source is not known."""
    return source is None or re.search(rf"\b{re.escape(word)}\b", source) is not None


def class_source(cls: type) -> str | None:
    """Return the source of `cls` and of those of its bases that are other projects'; None where one has none."""
    return _joined(
        [base for base in cls.__mro__ if base.__module__.split(".")[0] not in KNOWN_SOURCES]
    )


def package_source(cls: type) -> str | None:
    """Return the source of the loaded modules of the package of `cls` and of its bases of other projects."""
    packages = {base.__module__.split(".")[0] for base in cls.__mro__} - set(KNOWN_SOURCES)
    return _joined(
        [
            module
            for name, module in list(sys.modules.items())
            if module and name.split(".")[0] in packages
        ]
    )


def _joined(items: list[Any]) -> str | None:
    try:
        return "\n".join(inspect.getsource(item) for item in items if not _is_empty(item))
    except (OSError, TypeError):
        return None


def _is_empty(item: Any) -> bool:
    """Return whether a module is a folder without __init__.py, or an empty file, which have no source."""
    if not inspect.ismodule(item):
        return False
    file = getattr(item, "__file__", None)
    return file is None or (file.endswith(".py") and not linecache.getlines(file))
