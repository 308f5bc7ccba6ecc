"""Blocks that name a registered class or function: is the type there, and does it take these arguments?"""

import inspect
from collections.abc import Mapping
from typing import Any

from wxr_plugin.options.checks.report import Keys, Report, describe, suggest

ENGINES = ("rater", "describer", "rewriter")
"""Kinds whose blocks may lack a type, and whose classes declare their keys as `Options`."""

GIVEN = {
    "metric": ("img", "img2"),
    "optimizer": ("params",),
    "scheduler": ("optimizer", "last_epoch"),
}
"""Arguments that BasicSR itself passes, besides those of the block."""


def registered(kind: str) -> dict[str, Any]:
    """Return all classes or functions of a kind (network, model, dataset, loss, metric, optimizer, rater, …) by name.

    A name leads to what `Registry.get` gives for it, so that a plug-in's class goes before
    BasicSR's of that name.
    """
    from basicsr.utils import registry

    from wxr_plugin.utils.namesakes import aliases

    if kind in ENGINES:
        return engines(kind)
    if kind == "optimizer":
        return optimizers()
    if kind == "scheduler":
        return schedulers()
    names = {"network": "ARCH"}
    entries = dict(iter(getattr(registry, f"{names.get(kind, kind.upper())}_REGISTRY")))
    # Registry.get falls back to this suffix, which BasicSR gives to the few names that Real-ESRGAN
    # registers too.
    fallback = {
        name.removesuffix("_basicsr"): item
        for name, item in entries.items()
        if name.endswith("_basicsr")
    }
    bare = {name: item for name, item in entries.items() if not name.endswith("_basicsr")}
    return aliases(bare) | fallback | bare


def optimizers() -> dict[str, type]:
    """The optimizers of torch."""
    import torch

    base = torch.optim.Optimizer
    classes = {name: item for name, item in vars(torch.optim).items() if inspect.isclass(item)}
    return {
        name: item for name, item in classes.items() if issubclass(item, base) and item is not base
    }


def schedulers() -> dict[str, type]:
    """The learning-rate schedules of BasicSR, by the names that option files use."""
    from basicsr.models import lr_scheduler

    return {
        "MultiStepLR": lr_scheduler.MultiStepRestartLR,
        "MultiStepRestartLR": lr_scheduler.MultiStepRestartLR,
        "CosineAnnealingRestartLR": lr_scheduler.CosineAnnealingRestartLR,
    }


def engines(kind: str) -> dict[str, type]:
    """The raters, describers or rewriters that are registered."""
    from wxr_plugin.utils.namesakes import aliases
    from wxr_plugin.vlm.registries import REGISTRIES

    entries = dict(iter(REGISTRIES[kind]))
    return aliases(entries) | entries


def default_type(kind: str) -> str | None:
    """What a block of this kind is when it has no type; None where it needs one."""
    if kind not in ENGINES:
        return None
    from wxr_plugin.vlm.registries import DEFAULT_TYPES

    return DEFAULT_TYPES[kind]


def find(report: Report, keys: Keys, block: Any, kind: str) -> Any | None:
    """The registered item that `block['type']` or the kind's default names, or None with a problem added."""
    if not isinstance(block, Mapping):
        report.add(
            keys, f"{describe(block)}, where a block with a type belongs", "write {type: ...}"
        )
        return None
    name = block.get("type", default_type(kind))
    if name is None and "type" not in block:
        report.add((*keys, "type"), "missing", f"name a registered {kind}")
        return None
    return lookup(report, (*keys, "type"), name, kind)


def lookup(report: Report, keys: Keys, name: Any, kind: str) -> Any | None:
    """The registered item called `name`, or None with a problem added."""
    known = registered(kind) | report.types.get(kind, {})
    if isinstance(name, str) and name in known:
        return known[name]
    report.add(keys, f"no {kind} {name!r} is registered", _fix(str(name), known, kind))
    return None


def _fix(name: str, known: Mapping[str, Any], kind: str) -> str:
    """Return how to correct a type that nothing registers: by the nearest name, or with another package."""
    near = suggest(name, known, "the known ones are", cutoff=0.85)
    if kind in ("optimizer", "scheduler"):  # of torch or of the model, which no plug-in registers
        return near
    if near.startswith("did you"):
        return f"{near} If another package registers {name}, list that package under plugins"
    return "list the package that registers it under plugins"
