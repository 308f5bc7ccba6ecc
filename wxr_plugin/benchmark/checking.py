"""Checks of a benchmark's option file, and of the files that it names, before anything starts."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wxr_plugin.benchmark.metrics import Metric, build_metric, known_metrics, metric_block
from wxr_plugin.benchmark.options import INPUT, BenchmarkOptions, is_file_name
from wxr_plugin.benchmark.sets import BenchmarkSet, find_set
from wxr_plugin.data.images.store import ImageStore
from wxr_plugin.errors import WxrError
from wxr_plugin.hub import is_reference
from wxr_plugin.inference.packaged import PACKAGED
from wxr_plugin.options import files as option_files
from wxr_plugin.options.checks.fields import check_block, check_component
from wxr_plugin.options.checks.report import Problem, Report, add_duplicates, key_lines, suggest
from wxr_plugin.options.kinds import is_benchmark_file
from wxr_plugin.options.plugins import import_into
from wxr_plugin.schema import convert

if TYPE_CHECKING:
    from wxr_plugin.benchmark.methods import Method


class Plan(NamedTuple):
    """A checked option file.

    Attributes:
        options: content of the file.
        methods: keyed by name; their networks are not loaded.
        sets: keyed by name, with the files of their photos.
        metrics: keyed by name.
        left_out: a line for each method and set whose files do not exist, with the reason.
    """

    options: BenchmarkOptions
    methods: dict[str, "Method"]
    sets: dict[str, BenchmarkSet]
    metrics: dict[str, Metric]
    left_out: list[str]


def load_benchmark(
    path: str | os.PathLike,
    overrides: Iterable[str] = (),
    available: bool = False,
) -> Plan:
    """Read and check an option file; all its problems are printed to stderr.

    Args:
        path: the option file.
        overrides: changes as `--force_yml` takes them.
        available: leave out methods and sets whose files do not exist, instead of refusing them.

    Raises:
        OptionError: the file has problems, and nothing was started.
    """
    opt = option_files.load(path, overrides, warn=False)
    left_out = leave_out(opt) if available else []
    problems, plan = _examine(opt, path)
    if problems:
        option_files.refuse(path, problems)
    return plan._replace(left_out=left_out)


def published_names(path: str | os.PathLike, overrides: Iterable[str] = ()) -> list[str]:
    """Return the published methods of an option file whose official files are used."""
    opt = option_files.load(path, overrides, warn=False)
    names = []
    for block in _blocks(opt, "methods").values():
        # The file has not been checked yet, so a block may have any type.
        if isinstance(block, dict) and not block.get("checkpoint"):
            names.append(block.get("method"))
    return [name for name in names if isinstance(name, str)]


def check_benchmark(opt: Mapping[str, Any], path: str | os.PathLike) -> list[Problem]:
    """Return the problems of a benchmark's options `opt`; nothing is loaded."""
    return _examine(opt, path)[0]


def leave_out(opt: dict[str, Any]) -> list[str]:
    """Remove methods and sets whose files do not exist from `opt`; return a line for each."""
    sets = _blocks(opt, "sets")
    methods = _blocks(opt, "methods")
    named = set(sets)
    notes = _remove_missing("sets", sets, _missing_folder)
    notes += _remove_missing("methods", methods, _missing_file)
    for name, block in list(methods.items()):
        if _without_sets(block, named, sets):
            del methods[name]
            notes.append(f"methods.{name}: left out, its sets are")
    return notes


def _blocks(opt: Mapping[str, Any], kind: str) -> dict[str, Any]:
    blocks = opt.get(kind)
    # The option file has not been checked yet, so its blocks may have any type.
    return blocks if isinstance(blocks, dict) else {}


def _remove_missing(
    kind: str,
    blocks: dict[str, Any],
    missing: Callable[[Mapping[str, Any]], str],
) -> list[str]:
    """Remove the blocks whose files do not exist; return a line for each with the reason."""
    notes = []
    for name, block in list(blocks.items()):
        reason = missing(block) if isinstance(block, dict) else ""
        if reason:
            del blocks[name]
            notes.append(f"{kind}.{name}: left out, {reason}")
    return notes


def _without_sets(block: Any, named: set[str], sets: Mapping[str, Any]) -> bool:
    """Remove sets that were left out from the list of a method; return whether none remains.

    Args:
        block: options of the method.
        named: the sets of the option file.
        sets: those of them that are not left out.
    """
    if not isinstance(block, dict):
        return False
    listed = block.get("sets")
    # A list with a name that the file does not have is a problem, which the check reports.
    if not isinstance(listed, list) or not set(listed) <= named:
        return False
    remaining = [name for name in listed if name in sets]
    block["sets"] = remaining
    return not remaining


def _examine(opt: Mapping[str, Any], path: str | os.PathLike) -> tuple[list[Problem], Plan | None]:
    if not is_benchmark_file(opt):
        fix = "it needs methods, sets and metrics, as options/tiny/benchmark.yml has them"
        problem = Problem(str(path), "", "not an option file of a benchmark", fix)
        return [problem], None
    text = ""
    # Options may also come from a program, which has no file.
    if Path(path).is_file():
        text = Path(path).read_text(encoding="utf-8")
    report = Report(str(path), lines=key_lines(text))
    add_duplicates(report, text)
    import_into(report, opt)
    check_block(report, (), opt, [BenchmarkOptions])
    plan = None
    # Files are looked for only if the options are valid.
    if not report.problems:
        options = convert(opt, BenchmarkOptions)
        plan = _find(report, options)
    problems = sorted(report.problems, key=lambda problem: problem.line or 0)
    return problems, plan


def _find(report: Report, options: BenchmarkOptions) -> Plan:
    """Find sets, metrics and methods; what cannot be found is added to `report`."""
    _check_names(report, options)
    sets = _sets(report, options)
    metrics = _metrics(report, options, sets)
    _check_training(report, options)
    return Plan(
        options=options,
        methods=_methods(report, options, sets),
        sets=sets,
        metrics=metrics,
        left_out=[],
    )


def _check_names(report: Report, options: BenchmarkOptions) -> None:
    """Check the names: they become folders, and those of metrics columns."""
    names = {
        "methods": options.methods,
        "sets": options.sets,
        "metrics": options.metric_blocks,
    }
    for kind, blocks in names.items():
        for name in blocks:
            if not is_file_name(name):
                fix = "take letters, digits, . _ + - and spaces"
                report.add((kind, name), "cannot be the name of a folder", fix)


def _sets(report: Report, options: BenchmarkOptions) -> dict[str, BenchmarkSet]:
    sets = {}
    for name, block in options.sets.items():
        try:
            sets[name] = find_set(name, block, options.folder)
        except WxrError as error:
            report.add(("sets", name), str(error))
    return sets


def _check_training(report: Report, options: BenchmarkOptions) -> None:
    """Check the folders of training images that test images are compared with."""
    if options.overlaps is None:
        return
    for number, root in enumerate(options.overlaps.training):
        try:
            ImageStore(root)
        except WxrError as error:
            report.add(("overlaps", "training", number), str(error))


def _metrics(
    report: Report,
    options: BenchmarkOptions,
    sets: Mapping[str, BenchmarkSet],
) -> dict[str, Metric]:
    metrics = {}
    has_gt = any(test_set.has_gt for test_set in sets.values())
    for name, block in options.metric_blocks.items():
        if _is_metric(report, name, block, options.crop_border):
            metric = build_metric(name, block, options.crop_border)
            metrics[name] = metric
            # Without any set, the problems of the sets are reported, not this one.
            if metric.needs_gt and sets and not has_gt:
                problem = "compares with a ground truth, and no set has any"
                report.add(("metrics", name), problem, "remove it, or add gt to a set")
    return metrics


def _is_metric(report: Report, name: str, block: Mapping[str, Any], crop_border: int) -> bool:
    """Return whether the block of a metric has no problem; a problem is added to `report`."""
    keys = ("metrics", name)
    count_before = len(report.problems)
    if name not in known_metrics() and "type" not in block:
        near = suggest(name, known_metrics(), "known are")
        report.add(keys, "unknown metric, and without a type", near)
        return False
    whole = metric_block(name, block, crop_border)
    check_component(report, keys, whole, "metric")
    weights = block.get("weights")
    is_here = is_reference(weights) or Path(str(weights)).is_file()
    if isinstance(weights, str) and not is_here:
        report.add((*keys, "weights"), f"{weights} does not exist", "correct the path")
    return len(report.problems) == count_before


def _methods(
    report: Report,
    options: BenchmarkOptions,
    sets: Mapping[str, BenchmarkSet],
) -> dict[str, "Method"]:
    from wxr_plugin.benchmark.methods import Method

    methods = {}
    for name, block in options.methods.items():
        keys = ("methods", name)
        restores = bool(block and (block.restores or block.folder))
        if restores and name == INPUT:
            report.add(keys, f"{INPUT} is the photo itself", "choose another name")
            continue
        if not restores and name != INPUT:
            fix = "add method, checkpoint or folder"
            report.add(keys, "does not say what restores", fix)
            continue
        # The input may stand without a block.
        set_names = (block and block.sets) or []
        for number, set_name in enumerate(set_names):
            if set_name not in options.sets:
                near = suggest(set_name, options.sets, "there are")
                report.add((*keys, "sets", number), f"no set {set_name!r} among sets", near)
        try:
            methods[name] = Method(name, block, options)
            if block and block.folder:
                _check_folder(methods[name], options, sets)
        except WxrError as error:
            report.add(keys, str(error))
    return methods


def _check_folder(
    method: "Method",
    options: BenchmarkOptions,
    sets: Mapping[str, BenchmarkSet],
) -> None:
    """Raise WxrError if the folder of a method has no image of one of its sets."""
    is_only_set = len(options.sets) == 1
    for test_set in sets.values():
        if method.takes(test_set):
            method.existing_images(test_set, only_set=is_only_set)


def _missing_folder(block: Mapping[str, Any]) -> str:
    """Return why a set cannot be measured, empty if all its folders exist."""
    folders = [block.get(key) for key in ("root", "lq", "gt")]
    # Other types are problems, which the check reports.
    named = [folder for folder in folders if isinstance(folder, str)]
    return _first_missing(named)


def _missing_file(block: Mapping[str, Any]) -> str:
    """Return why a method cannot be run, empty if all its files exist."""
    from wxr_plugin.inference.specs import method_spec

    checkpoint = block.get("checkpoint")
    folder = block.get("folder")
    files = []
    if isinstance(folder, dict):
        files += folder.values()
    elif folder:
        files.append(folder)
    if checkpoint and str(checkpoint) not in PACKAGED:
        files.append(checkpoint)
    reason = _first_missing(files)
    if reason or checkpoint or not block.get("method"):
        return reason
    try:
        method_spec(block["method"], None, block.get("guide"))
    except WxrError as error:
        # Other errors, such as an unknown name, are problems of the option file.
        if "no such file" in str(error):
            return str(error)
    return ""


def _first_missing(files: Iterable[Any]) -> str:
    for file in files:
        is_here = is_reference(file) or Path(str(file)).expanduser().exists()
        if not is_here:
            return f"{file} does not exist"
    return ""
