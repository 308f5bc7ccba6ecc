"""Check each block of an option file against the fields that its type declares."""

from collections.abc import Mapping
from typing import Any

from wxr_plugin import schema
from wxr_plugin.options.checks import stock
from wxr_plugin.options.checks.components import find, lookup
from wxr_plugin.options.checks.fields import check_block, check_component, fields_of
from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.checks.unread import check_unread
from wxr_plugin.options.nested import Keys, OptionMap, block, phase_of
from wxr_plugin.schema import Block, ExistingPath


def check_blocks(report: Report, opt: OptionMap) -> None:
    """Check keys, types of values, registered names and their arguments in every block of `opt`."""
    model = None
    if "model_type" in opt:
        model = lookup(report, ("model_type",), opt["model_type"], "model")
    if model is not None:
        # Names that only this model accepts.
        report.types["optimizer"] = getattr(model, "OPTIMIZERS", {})
        report.types["scheduler"] = getattr(model, "SCHEDULERS", {})
    _check_for_model(report, "", opt, [schema.FileOptions], model, "TopOptions")
    _check_undeclared_networks(report, opt, model)
    path = opt.get("path")
    if isinstance(path, Mapping):
        structs = [schema.PathOptions, _paths_of_networks(opt)]
        check_block(report, ("path",), path, structs)
    commons = {"train": schema.TrainCommon, "val": schema.ValOptions}
    for key, common in commons.items():
        value = opt.get(key)
        if isinstance(value, Mapping):
            declaration = f"{key.title()}Options"
            _check_for_model(report, key, value, [common], model, declaration)
    # Values that are not blocks are reported, too.
    datasets = block(opt, "datasets")
    for name, value in datasets.items():
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
    declared = {}
    if model:
        declared = fields_of(stock.declared(model, "TopOptions"))
    for key, value in opt.items():
        if not str(key).startswith("network_") or key in declared:
            continue
        # A block without a type may mean something else to the model.
        if isinstance(value, Mapping) and "type" in value:
            check_component(report, (key,), value, "network")


def _paths_of_networks(opt: OptionMap) -> type[Block]:
    """Return a struct with pretrain_network_X, param_key_X and strict_load_X for each network_X."""
    hints: dict[str, Any] = {}
    for key in opt:
        name = str(key)
        if not name.startswith("network_"):
            continue
        label = name.removeprefix("network_")
        hints[f"pretrain_network_{label}"] = ExistingPath | None
        hints[f"param_key_{label}"] = str | None
        hints[f"strict_load_{label}"] = bool | None
    # All fields are optional: None is the default of each.
    members = {"__annotations__": hints, **dict.fromkeys(hints)}
    metaclass = type(Block)
    return metaclass("NetworkPaths", (Block,), members)


def check_dataset(report: Report, name: str, value: Any) -> None:
    """Check one block of `datasets` against the declaration of its type."""
    keys = ("datasets", name)
    phase = phase_of(name)
    _check_phase(report, keys, phase)
    report = report.during(phase == "train")
    cls = find(report, keys, value, "dataset")
    if not isinstance(value, Mapping):
        return
    own = stock.of_dataset(cls) if cls else None
    structs = [schema.DatasetCommon]
    if own is None or stock.is_open(cls, "Options"):
        optional = [own] if own else []
        check_block(report, keys, value, structs, optional=optional, closed=False)
    else:
        check_block(report, keys, value, [*structs, own])


def _check_phase(report: Report, keys: Keys, phase: str) -> None:
    """Report a dataset that BasicSR would not read in the phase of the file."""
    if report.is_train and phase not in ("train", "val"):
        report.add(keys, f"no phase {phase!r} in a file for training", "train or val")
    if not report.is_train and phase not in ("val", "test"):
        report.add(keys, f"no phase {phase!r} in a file for testing", "val or test_1")
