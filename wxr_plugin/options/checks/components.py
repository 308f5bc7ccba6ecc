"""Look up the registered class or function that a block names."""

import inspect
from collections.abc import Mapping
from typing import Any

from wxr_plugin.options.checks.report import Report, describe, suggest
from wxr_plugin.options.nested import Keys, OptionMap

ENGINES = ("rater", "describer", "rewriter")
"""Kinds whose blocks may lack a type, and whose classes declare their keys as `Options`."""

GIVEN = {
    "metric": ("img", "img2"),
    "optimizer": ("params",),
    "scheduler": ("optimizer", "last_epoch"),
}
"""Arguments that BasicSR itself passes, in addition to those of the block."""


def registered(kind: str) -> dict[str, Any]:
    """Return all classes or functions of a kind, keyed by name.

    Kinds are network, model, dataset, loss, metric, optimizer, scheduler, rater, describer and
    rewriter. A name leads to the same class as `Registry.get`, so that a plug-in's class goes
    before BasicSR's of that name.
    """
    from basicsr.utils import registry

    from wxr_plugin.utils.namesakes import aliases

    if kind in ENGINES:
        return engines(kind)
    if kind == "optimizer":
        return optimizers()
    if kind == "scheduler":
        return schedulers()
    name_of_registry = "ARCH" if kind == "network" else kind.upper()
    entries = dict(iter(getattr(registry, f"{name_of_registry}_REGISTRY")))
    # BasicSR adds this suffix to the few names that Real-ESRGAN registers, too. Registry.get falls
    # back to it.
    fallback, bare = {}, {}
    for name, item in entries.items():
        if name.endswith("_basicsr"):
            fallback[name.removesuffix("_basicsr")] = item
        else:
            bare[name] = item
    return aliases(bare) | fallback | bare


def optimizers() -> dict[str, type]:
    """Return the optimizers of torch, keyed by name."""
    import torch

    base = torch.optim.Optimizer
    classes = {}
    for name, item in vars(torch.optim).items():
        if inspect.isclass(item) and issubclass(item, base) and item is not base:
            classes[name] = item
    return classes


def schedulers() -> dict[str, type]:
    """Return the learning-rate schedules of BasicSR, keyed by their names in option files."""
    from basicsr.models import lr_scheduler

    return {
        "MultiStepLR": lr_scheduler.MultiStepRestartLR,
        "MultiStepRestartLR": lr_scheduler.MultiStepRestartLR,
        "CosineAnnealingRestartLR": lr_scheduler.CosineAnnealingRestartLR,
    }


def engines(kind: str) -> dict[str, type]:
    """Return the registered raters, describers or rewriters, keyed by name."""
    from wxr_plugin.utils.namesakes import aliases
    from wxr_plugin.vlm.registries import REGISTRIES

    entries = dict(iter(REGISTRIES[kind]))
    return aliases(entries) | entries


def default_type(kind: str) -> str | None:
    """Return the type of a block of this kind that names none; None if it must name one."""
    if kind not in ENGINES:
        return None
    from wxr_plugin.vlm.registries import DEFAULT_TYPES

    return DEFAULT_TYPES[kind]


def find(report: Report, keys: Keys, block: Any, kind: str) -> Any | None:
    """Return the registered item of `block['type']` or the default; report an unknown one."""
    if not isinstance(block, Mapping):
        fault = f"{describe(block)}, where a block with a type belongs"
        report.add(keys, fault, "write {type: ...}")
        return None
    name = block.get("type", default_type(kind))
    if name is None and "type" not in block:
        report.add((*keys, "type"), "missing", f"name a registered {kind}")
        return None
    return lookup(report, (*keys, "type"), name, kind)


def lookup(report: Report, keys: Keys, name: Any, kind: str) -> Any | None:
    """Return the registered item called `name`; report a problem and return None without one."""
    items = registered(kind) | report.types.get(kind, {})
    # A name of another type, such as a list, cannot be a key.
    if isinstance(name, str) and name in items:
        return items[name]
    fault = f"no {kind} {name!r} is registered"
    fix = _fix(str(name), items, kind)
    report.add(keys, fault, fix)
    return None


def model_class(opt: OptionMap) -> type | None:
    """Return the model class of a file; None if it is not registered."""
    return registered("model").get(str(opt.get("model_type")))


def class_of(kind: str, block: OptionMap) -> Any | None:
    """Return the registered class of the type of `block`; None if it is not registered."""
    return registered(kind).get(str(block.get("type")))


def package_of(item: Any) -> str:
    """Return the name of the top-level package of a class or function; "" without a module."""
    return getattr(item, "__module__", "").split(".")[0]


def _fix(name: str, items: OptionMap, kind: str) -> str:
    """Return how to correct an unregistered type: the nearest name, or another package."""
    near = suggest(name, items, "the known ones are", cutoff=0.85)
    if kind in ("optimizer", "scheduler"):  # those of torch and the model; plug-ins register none
        return near
    if near.startswith("did you"):
        return f"{near} If another package registers {name}, list that package under plugins"
    return "list the package that registers it under plugins"
