"""The blocks of an option file, each against what the types that it names declare."""

from collections.abc import Mapping
from typing import Any

from wxr_plugin import schema
from wxr_plugin.options.checks import stock
from wxr_plugin.options.checks.components import find, lookup
from wxr_plugin.options.checks.fields import check_block, check_component, fields_of
from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.checks.unread import check_unread
from wxr_plugin.schema import Block, ExistingPath


def check_blocks(report: Report, opt: Mapping[str, Any]) -> None:
    """Check every block of `opt`: keys, types of values, names and arguments of what is registered."""
    model = (
        lookup(report, ("model_type",), opt["model_type"], "model") if "model_type" in opt else None
    )
    if model is not None:
        report.types.update(
            optimizer=getattr(model, "OPTIMIZERS", {}), scheduler=getattr(model, "SCHEDULERS", {})
        )
    _check_for_model(report, "", opt, [schema.FileOptions], model, "TopOptions")
    _check_undeclared_networks(report, opt, model)
    if isinstance(opt.get("path"), Mapping):
        check_block(report, ("path",), opt["path"], [schema.PathOptions, _paths_of_networks(opt)])
    for key, common in (("train", schema.TrainCommon), ("val", schema.ValOptions)):
        if isinstance(opt.get(key), Mapping):
            _check_for_model(report, key, opt[key], [common], model, f"{key.title()}Options")
    for name, block in _mapping(opt.get("datasets")).items():
        check_dataset(report, str(name), block)


def _check_for_model(
    report: Report,
    key: str,
    block: Any,
    common: list[type[Block]],
    model: type | None,
    declaration: str,
) -> None:
    """Check a block to which the model adds keys of its own; of a model that is not registered, the usual ones."""
    own = stock.declared(model, declaration) if model else list(stock.USUAL.get(declaration, ()))
    is_open = model is None or stock.is_open(model, "TopOptions", "TrainOptions", "ValOptions")
    keys = (key,) if key else ()
    if is_open:
        check_block(report, keys, block, common, optional=own, closed=False)
        check_unread(report, keys, block, fields_of([*common, *own]), model, declaration)
    else:
        check_block(report, keys, block, [*common, *own])


def _check_undeclared_networks(report: Report, opt: Mapping[str, Any], model: type | None) -> None:
    structs = stock.declared(model, "TopOptions") if model else []
    known = {name for struct in structs for name in struct.__struct_fields__}
    for key, block in opt.items():
        if (
            str(key).startswith("network_")
            and key not in known
            and isinstance(block, Mapping)
            and "type" in block
        ):
            check_component(report, (key,), block, "network")


def _paths_of_networks(opt: Mapping[str, Any]) -> type[Block]:
    """The keys of `path` that go with the networks of this file: pretrain_network_X, param_key_X, strict_load_X."""
    hints: dict[str, Any] = {}
    for label in (
        str(key).removeprefix("network_") for key in opt if str(key).startswith("network_")
    ):
        hints[f"pretrain_network_{label}"] = ExistingPath | None
        hints[f"param_key_{label}"] = str | None
        hints[f"strict_load_{label}"] = bool | None
    return type(Block)("NetworkPaths", (Block,), {"__annotations__": hints, **dict.fromkeys(hints)})


def check_dataset(report: Report, name: str, block: Any) -> None:
    """Check one block of `datasets` against what its type declares."""
    keys = ("datasets", name)
    phase = name.split("_")[0]
    allowed = ("train", "val") if report.is_train else ("val", "test")
    if phase not in allowed:
        names = " or ".join(f"{word}_1" if word == "test" else word for word in allowed)
        report.add(
            keys,
            f"no phase {phase!r} in a file for {'training' if report.is_train else 'testing'}",
            names,
        )
    report = report.during(phase == "train")
    cls = find(report, keys, block, "dataset")
    if not isinstance(block, Mapping):
        return
    own = stock.of_dataset(cls) if cls else None
    common = [schema.DatasetCommon]
    if own is None or stock.is_open(cls, "Options"):
        check_block(report, keys, block, common, optional=[own] if own else [], closed=False)
    else:
        check_block(report, keys, block, [*common, own])


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
