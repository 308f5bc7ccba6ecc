"""Check each block of an option file against the fields that its type declares."""

from collections.abc import Mapping
from typing import Any

from wxr_plugin import schema
from wxr_plugin.options.checks import stock
from wxr_plugin.options.checks.components import find, lookup
from wxr_plugin.options.checks.fields import check_block, check_component, fields_of
from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.checks.unread import check_unread
from wxr_plugin.options.nested import OptionMap, block, phase_of
from wxr_plugin.schema import Block, ExistingPath


def check_blocks(report: Report, opt: OptionMap) -> None:
    """Check keys, types of values, registered names and their arguments in every block of `opt`."""
    model = None
    if "model_type" in opt:
        model = lookup(report, ("model_type",), opt["model_type"], "model")
    if model is not None:
        report.types["optimizer"] = getattr(model, "OPTIMIZERS", {})
        report.types["scheduler"] = getattr(model, "SCHEDULERS", {})
    _check_for_model(report, "", opt, [schema.FileOptions], model, "TopOptions")
    _check_undeclared_networks(report, opt, model)
    if isinstance(opt.get("path"), Mapping):
        check_block(report, ("path",), opt["path"], [schema.PathOptions, _paths_of_networks(opt)])
    for key, common in (("train", schema.TrainCommon), ("val", schema.ValOptions)):
        if isinstance(opt.get(key), Mapping):
            _check_for_model(report, key, opt[key], [common], model, f"{key.title()}Options")
    # Values that are not blocks are reported, too.
    for name, value in block(opt, "datasets").items():
        check_dataset(report, str(name), value)


def _check_for_model(
    report: Report,
    key: str,
    value: Any,
    common: list[type[Block]],
    model: type | None,
    declaration: str,
) -> None:
    """Check a block to which the model adds keys of its own.

    Args:
        report: receives the problems.
        key: of the block; empty for the top level.
        value: the block.
        common: declarations that hold for any model.
        model: None if the name is not registered; then the usual keys are checked.
        declaration: attribute of the model with its keys: TopOptions, TrainOptions or ValOptions.
    """
    keys = (key,) if key else ()
    own = list(stock.USUAL.get(declaration, ()))
    is_open = True
    if model is not None:
        own = stock.declared(model, declaration)
        is_open = stock.is_open(model, "TopOptions", "TrainOptions", "ValOptions")
    if is_open:
        check_block(report, keys, value, common, optional=own, closed=False)
        check_unread(report, keys, value, fields_of([*common, *own]), model, declaration)
    else:
        check_block(report, keys, value, [*common, *own])


def _check_undeclared_networks(report: Report, opt: OptionMap, model: type | None) -> None:
    """Check the network_* blocks that the model does not declare by their types alone."""
    declared = fields_of(stock.declared(model, "TopOptions")) if model else {}
    for key, value in opt.items():
        is_network = str(key).startswith("network_") and isinstance(value, Mapping)
        if is_network and key not in declared and "type" in value:
            check_component(report, (key,), value, "network")


def _paths_of_networks(opt: OptionMap) -> type[Block]:
    """Return a struct with pretrain_network_X, param_key_X and strict_load_X for each network_X."""
    hints: dict[str, Any] = {}
    networks = [str(key) for key in opt if str(key).startswith("network_")]
    for label in (name.removeprefix("network_") for name in networks):
        hints[f"pretrain_network_{label}"] = ExistingPath | None
        hints[f"param_key_{label}"] = str | None
        hints[f"strict_load_{label}"] = bool | None
    # All fields are optional: None is the default of each.
    return type(Block)("NetworkPaths", (Block,), {"__annotations__": hints, **dict.fromkeys(hints)})


def check_dataset(report: Report, name: str, value: Any) -> None:
    """Check one block of `datasets` against the declaration of its type."""
    keys = ("datasets", name)
    phase = phase_of(name)
    if report.is_train and phase not in ("train", "val"):
        report.add(keys, f"no phase {phase!r} in a file for training", "train or val")
    if not report.is_train and phase not in ("val", "test"):
        report.add(keys, f"no phase {phase!r} in a file for testing", "val or test_1")
    report = report.during(phase == "train")
    cls = find(report, keys, value, "dataset")
    if not isinstance(value, Mapping):
        return
    own = stock.of_dataset(cls) if cls else None
    common = [schema.DatasetCommon]
    if own is None or stock.is_open(cls, "Options"):
        check_block(report, keys, value, common, optional=[own] if own else [], closed=False)
    else:
        check_block(report, keys, value, [*common, own])
