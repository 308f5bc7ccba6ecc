"""Everything that is wrong with a benchmark's option file and with what it names, before anything starts."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from wxr_plugin.benchmark.metrics import Metric, build_metric, known_metrics, metric_block
from wxr_plugin.benchmark.options import INPUT, BenchmarkOptions, is_file_name
from wxr_plugin.benchmark.sets import BenchmarkSet, find_set
from wxr_plugin.data.images.store import ImageStore
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.packaged import PACKAGED
from wxr_plugin.options import files as option_files
from wxr_plugin.options.checks.fields import check_block, check_component
from wxr_plugin.options.checks.report import Problem, Report, add_duplicates, key_lines, suggest
from wxr_plugin.options.kinds import is_benchmark_file
from wxr_plugin.options.plugins import import_into
from wxr_plugin.schema import convert


class Plan(NamedTuple):
    """A checked option file with its sets and methods found.

    `left_out` are those that were not, and why.
    """

    options: BenchmarkOptions
    methods: dict[str, Any]
    sets: dict[str, BenchmarkSet]
    metrics: dict[str, Metric]
    left_out: list[str]


def load_benchmark(
    path: str | os.PathLike, overrides: Iterable[str] = (), available: bool = False
) -> Plan:
    """Read and check an option file; all its problems are printed to stderr.

    `available` leaves out the methods and sets whose files are not there, instead of refusing them.

    Raises:
        OptionError: it has problems, and nothing was started.
    """
    opt = option_files.load(path, overrides, warn=False)
    left_out = leave_out(opt) if available else []
    problems, plan = _examine(opt, path)
    if problems:
        option_files.refuse(path, problems)
    return plan._replace(left_out=left_out)


def check_benchmark(opt: Mapping[str, Any], path: str | os.PathLike) -> list[Problem]:
    """The problems of a benchmark's options `opt`; nothing is loaded."""
    return _examine(opt, path)[0]


def leave_out(opt: dict[str, Any]) -> list[str]:
    """Take methods and sets whose files are not there out of `opt`; tells which, and what is missing."""
    told = []
    named = set(opt["sets"]) if isinstance(opt.get("sets"), dict) else set()
    for kind, missing in (("sets", _missing_folders), ("methods", _missing_files)):
        entries = opt.get(kind)
        for name in list(entries) if isinstance(entries, dict) else ():
            if isinstance(entries[name], dict) and (why := missing(name, entries[name])):
                del entries[name]
                told.append(f"{kind}.{name}: left out, {why}")
    for name, block in list(opt["methods"].items()) if isinstance(opt.get("methods"), dict) else ():
        _without_sets(opt, name, block, named, told)
    return told


def _examine(opt: Mapping[str, Any], path: str | os.PathLike) -> tuple[list[Problem], Plan | None]:
    if not is_benchmark_file(opt):
        mend = "it needs methods, sets and metrics, as options/tiny/benchmark.yml has them"
        return [Problem(str(path), "", "not an option file of a benchmark", mend)], None
    text = Path(path).read_text(encoding="utf-8") if Path(path).is_file() else ""
    report = Report(str(path), lines=key_lines(text))
    add_duplicates(report, text)
    import_into(report, opt)
    check_block(report, (), opt, [BenchmarkOptions])
    plan = None if report.problems else _find(report, convert(opt, BenchmarkOptions))
    return sorted(report.problems, key=lambda problem: problem.line or 0), plan


def _find(report: Report, options: BenchmarkOptions) -> Plan:
    _names(report, options)
    sets = _sets(report, options)
    metrics = _metrics(report, options, sets)
    _training(report, options)
    return Plan(options, _methods(report, options, sets), sets, metrics, [])


def _names(report: Report, options: BenchmarkOptions) -> None:
    """Names become folders, and those of metrics columns."""
    for kind in ("methods", "sets", "metrics"):
        for name in options.metric_blocks if kind == "metrics" else getattr(options, kind):
            if not is_file_name(name):
                report.add(
                    (kind, name),
                    "cannot be the name of a folder",
                    "take letters, digits, . _ + - and spaces",
                )


def _sets(report: Report, options: BenchmarkOptions) -> dict[str, BenchmarkSet]:
    found = {}
    for name, block in options.sets.items():
        try:
            found[name] = find_set(name, block, options.folder)
        except WxrError as error:
            report.add(("sets", name), str(error))
    return found


def _training(report: Report, options: BenchmarkOptions) -> None:
    """Training images that test images are compared with."""
    for number, root in enumerate(options.overlaps.training if options.overlaps else ()):
        try:
            ImageStore(root)
        except WxrError as error:
            report.add(("overlaps", "training", number), str(error))


def _metrics(
    report: Report, options: BenchmarkOptions, sets: Mapping[str, BenchmarkSet]
) -> dict[str, Metric]:
    found = {}
    for name, block in options.metric_blocks.items():
        keys, before = ("metrics", name), len(report.problems)
        if name not in known_metrics() and "type" not in block:
            near = suggest(name, known_metrics(), "known are")
            report.add(keys, "no known metric, and without a type", near)
            continue
        check_component(report, keys, metric_block(name, block, options.crop_border), "metric")
        weights = block.get("weights")
        if isinstance(weights, str) and not Path(weights).is_file():
            report.add((*keys, "weights"), f"{weights} does not exist", "correct the path")
        if len(report.problems) == before:
            found[name] = build_metric(name, block, options.crop_border)
            if found[name].needs_gt and sets and not any(each.has_gt for each in sets.values()):
                report.add(
                    keys,
                    "compares with a ground truth, and no set has any",
                    "take it out, or add gt to a set",
                )
    return found


def _methods(
    report: Report, options: BenchmarkOptions, sets: Mapping[str, BenchmarkSet]
) -> dict[str, Any]:
    from wxr_plugin.benchmark.methods import Method

    found = {}
    for name, block in options.methods.items():
        told = bool(block and (block.restores or block.folder))
        if told == (name == INPUT):
            mend = "call it otherwise" if told else "add method, checkpoint or folder"
            what = f"{INPUT} is the photo as it is" if told else "does not say what restores"
            report.add(("methods", name), what, mend)
            continue
        for number, which in enumerate((block and block.sets) or ()):
            if which not in options.sets:
                near = suggest(which, options.sets, "there are")
                report.add(("methods", name, "sets", number), f"no set {which!r} among sets", near)
        try:
            found[name] = Method(name, block, options)
            for each in sets.values() if block and block.folder else ():
                if found[name].takes(each):
                    found[name].restored_elsewhere(each, len(options.sets) == 1)
        except WxrError as error:
            report.add(("methods", name), str(error))
    return found


def _without_sets(
    opt: dict[str, Any], name: str, block: Any, named: set[str], told: list[str]
) -> None:
    """Take sets that were left out from the list of a method, and the method if none stays."""
    wanted = block.get("sets") if isinstance(block, dict) else None
    if isinstance(wanted, list) and set(wanted) <= named:
        block["sets"] = [each for each in wanted if each in opt["sets"]]
        if not block["sets"]:
            del opt["methods"][name]
            told.append(f"methods.{name}: left out, its sets are")


def _missing_folders(name: str, block: Mapping[str, Any]) -> str:
    folders = [block[key] for key in ("root", "lq", "gt") if isinstance(block.get(key), str)]
    return next(
        (f"{folder} is not there" for folder in folders if not Path(folder).expanduser().exists()),
        "",
    )


def _missing_files(name: str, block: Mapping[str, Any]) -> str:
    """What a method lacks; published ones are asked where their files should be."""
    from wxr_plugin.inference.specs import method_spec

    checkpoint, folder = block.get("checkpoint"), block.get("folder")
    folders = folder.values() if isinstance(folder, dict) else [folder] if folder else []
    files = [*folders, *([checkpoint] if checkpoint and str(checkpoint) not in PACKAGED else [])]
    missing = [
        f"{file} is not there" for file in files if not Path(str(file)).expanduser().exists()
    ]
    if not missing and block.get("method") and not checkpoint:
        try:
            method_spec(block["method"], None, block.get("guide"))
        except WxrError as error:
            missing = [str(error)] if "no such file" in str(error) else []
    return missing[0] if missing else ""
