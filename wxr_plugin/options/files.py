"""Option files: reading them, importing their plug-ins, and checking them before anything heavy starts."""

import os
import sys
import time
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from wxr_plugin.errors import OptionError
from wxr_plugin.options import safe_yaml
from wxr_plugin.options.checks.blocks import check_blocks
from wxr_plugin.options.checks.calls import check_calls
from wxr_plugin.options.checks.guide import check_guide
from wxr_plugin.options.checks.machine import check_machine
from wxr_plugin.options.checks.report import Problem, Report, add_duplicates, key_lines
from wxr_plugin.options.checks.rules import check_rules
from wxr_plugin.options.checks.sampling import check_sampling
from wxr_plugin.options.checks.sets import check_sets
from wxr_plugin.options.checks.shared import check_shared
from wxr_plugin.options.checks.sizes import check_sizes
from wxr_plugin.options.checks.srd import check_srd
from wxr_plugin.options.kinds import is_benchmark_file, is_run_file
from wxr_plugin.options.plugins import import_into, import_plugins

__all__ = ["OptionError", "Problem", "check", "check_file", "import_plugins", "load", "override"]

PATIENCE = 10
"""Seconds that the other ranks leave rank 0 to print its problems."""


def load(
    path: str | os.PathLike, overrides: Iterable[str] = (), warn: bool = True
) -> dict[str, Any]:
    """The options of a YAML file, with `overrides` (`train:total_iter=10`) put in; no code in it is ever run.

    `warn` of keys that stand twice; leave it out where `check`, which reports them, follows.

    Raises:
        OptionError: no such file, not YAML, not a block of keys, or an override that does not fit.
    """
    try:
        with warnings.catch_warnings():
            if not warn:
                warnings.simplefilter("ignore", safe_yaml.DuplicateKeyWarning)
            opt = safe_yaml.load(Path(path).expanduser())
    except OSError as error:
        raise OptionError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise OptionError(f"{path}: not an option file: {' '.join(str(error).split())}") from error
    if not isinstance(opt, dict):
        raise OptionError(f"{path}: not an option file: its top level is not a block of keys")
    override(opt, overrides)
    return opt


def override(opt: dict[str, Any], overrides: Iterable[str]) -> None:
    """Put `overrides` (`key:key=value`, the value in YAML) into `opt`.

    Raises:
        OptionError: some do not fit; the message has a line for each of them.
    """
    failures = []
    for entry in overrides:
        try:
            safe_yaml.override(opt, [entry])
        except ValueError as error:
            failures.append(str(error))
    if failures:
        raise OptionError(
            "\n".join(failures), tuple(Problem("--force_yml", "", failure) for failure in failures)
        )


def check(opt: dict[str, Any], path: str | os.PathLike, is_train: bool = True) -> list[Problem]:
    """Everything that is wrong with the options `opt` of the file `path`, in the order of its lines.

    Imports its plug-ins, and reads names, sizes and some bytes of its images; builds nothing.
    `path` gives the name and the line numbers of the problems and need not exist.
    """
    if is_run_file(opt):
        what = "an option file of a whole run of WResVLM, not of one training"
        return [Problem(str(path), "", what, f"start it with `wxr wresvlm run -opt {path}`")]
    if is_benchmark_file(opt):
        what = "an option file of a benchmark, not of a training"
        return [Problem(str(path), "", what, f"start it with `wxr benchmark -opt {path}`")]
    text = Path(path).read_text(encoding="utf-8") if Path(path).is_file() else ""
    report = Report(str(path), is_train, key_lines(text))
    add_duplicates(report, text)
    import_into(report, opt)
    checks = (
        check_sets,
        check_blocks,
        check_rules,
        check_guide,
        check_srd,
        check_sampling,
        check_calls,
    )
    for check_part in (*checks, check_machine, check_sizes):
        check_part(report, opt)
    if is_train:
        check_shared(report, opt)
    return sorted(report.problems, key=lambda problem: problem.line or 0)


def check_file(
    path: str | os.PathLike, is_train: bool = True, overrides: Iterable[str] = ()
) -> dict[str, Any]:
    """Load and check an option file; return its options, or print all its problems to stderr and raise.

    Under a launcher every rank checks and rank 0 prints; the others wait for it, since torchrun
    ends all processes as soon as one has ended with an error.

    Raises:
        OptionError: the file has problems; they are its `problems`. Commands end with exit code 2.
    """
    opt = load(path, overrides, warn=False)
    problems = check(opt, path, is_train)
    if not problems:
        return opt
    if int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0) == 0:
        print(*problems, sep="\n", file=sys.stderr, flush=True)
    else:
        time.sleep(PATIENCE)
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    raise OptionError(f"{path}: {count}; nothing was started", tuple(problems))


def is_for_training(opt: Mapping[str, Any]) -> bool:
    """Whether a file is for training: it has a `train` block or a training set."""
    datasets = opt.get("datasets")
    return "train" in opt or (isinstance(datasets, Mapping) and "train" in datasets)
