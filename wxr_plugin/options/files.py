"""Read option files, import their plug-ins, and check them before anything heavy starts."""

import os
import sys
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from wxr_plugin.errors import OptionError, WxrError, plain
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
from wxr_plugin.options.nested import block
from wxr_plugin.options.plugins import import_into, import_plugins
from wxr_plugin.utils.wording import plural

__all__ = [
    "OptionError",
    "Problem",
    "check",
    "check_file",
    "import_plugins",
    "load",
    "load_with_network",
    "override",
    "refuse",
]

PATIENCE = 10
"""Seconds for which the other ranks wait until rank 0 has printed the problems."""


def load(
    path: str | os.PathLike, overrides: Iterable[str] = (), warn: bool = True
) -> dict[str, Any]:
    """Return the options of a YAML file, without running any code in it.

    Args:
        path: the option file.
        overrides: changes such as `train:total_iter=10`.
        warn: warn of keys that stand twice; `check` reports them as problems instead.

    Raises:
        OptionError: the file is missing, not YAML or not a block of keys, or an override does not
            fit.
    """
    try:
        with warnings.catch_warnings():
            if not warn:
                warnings.simplefilter("ignore", safe_yaml.DuplicateKeyWarning)
            opt = safe_yaml.load(Path(path).expanduser())
    except OSError as error:
        raise OptionError(plain(error)) from error
    except UnicodeDecodeError as error:
        raise OptionError(f"{path}: not an option file: it is not text in UTF-8") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise OptionError(f"{path}: not an option file: {reason}") from error
    if not isinstance(opt, dict):
        raise OptionError(f"{path}: not an option file: its top level is not a block of keys")
    override(opt, overrides)
    return opt


def load_with_network(path: str | os.PathLike) -> dict[str, Any]:
    """Return the options of a file with a `network_g` block, whose plug-ins are imported.

    A plug-in may register the network.

    Raises:
        OptionError: as `load`.
        WxrError: the file has no `network_g` block.
    """
    opt = load(path)
    if not isinstance(opt.get("network_g"), dict):
        raise WxrError(f"{path} has no network_g block")
    import_plugins(opt)
    return opt


def override(opt: dict[str, Any], overrides: Iterable[str]) -> None:
    """Apply `overrides` (`key:key=value`, the value in YAML) to `opt`.

    Raises:
        OptionError: some do not fit; the message has a line for each of these.
    """
    failures = []
    for entry in overrides:
        try:
            safe_yaml.override(opt, [entry])
        except ValueError as error:
            failures.append(str(error))
    if failures:
        problems = tuple(Problem("--force_yml", "", failure) for failure in failures)
        raise OptionError("\n".join(failures), problems)


def check(opt: dict[str, Any], path: str | os.PathLike, is_train: bool = True) -> list[Problem]:
    """Return all problems of the options `opt` of the file `path`, in the order of its lines.

    The plug-ins are imported, and names, sizes and some bytes of the images are read; nothing is
    built. `path` gives the name and the line numbers of the problems and need not exist.
    """
    if is_run_file(opt):
        fault = "an option file of a whole run of WResVLM, not of one training"
        fix = f"start it with `wxr wresvlm run -opt {path}`"
        return [Problem(str(path), "", fault, fix)]
    if is_benchmark_file(opt):
        fault = "an option file of a benchmark, not of a training"
        fix = f"start it with `wxr benchmark -opt {path}`"
        return [Problem(str(path), "", fault, fix)]
    file = Path(path)
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    report = Report(str(path), is_train, key_lines(text))
    add_duplicates(report, text)
    # First, because the other checks look up the classes of plug-ins.
    import_into(report, opt)
    check_sets(report, opt)
    check_blocks(report, opt)
    check_rules(report, opt)
    check_guide(report, opt)
    check_srd(report, opt)
    check_sampling(report, opt)
    check_calls(report, opt)
    check_machine(report, opt)
    # After the others: it reads many files, but only of a training set without problems.
    check_sizes(report, opt)
    if is_train:
        check_shared(report, opt)
    return sorted(report.problems, key=lambda problem: problem.line or 0)


def check_file(
    path: str | os.PathLike, is_train: bool = True, overrides: Iterable[str] = ()
) -> dict[str, Any]:
    """Load and check an option file, and return its options.

    Problems are printed to stderr. Under a launcher every rank checks and rank 0 prints.

    Raises:
        OptionError: the file has problems, which are its `problems`. Commands end with exit code 2.
    """
    opt = load(path, overrides, warn=False)
    problems = check(opt, path, is_train)
    if problems:
        refuse(path, problems)
    return opt


def refuse(path: str | os.PathLike, problems: Sequence[Problem]) -> NoReturn:
    """Print the problems of a file to stderr, on rank 0 alone, and raise OptionError."""
    rank = os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0
    if int(rank) == 0:
        print(*problems, sep="\n", file=sys.stderr, flush=True)
    else:
        # torchrun ends all processes as soon as one of them ends with an error.
        time.sleep(PATIENCE)
    count = plural(len(problems), "problem")
    raise OptionError(f"{path}: {count}; nothing was started", tuple(problems))


def is_for_training(opt: Mapping[str, Any]) -> bool:
    """Return whether a file is for training: it has a `train` block or a training set."""
    return "train" in opt or "train" in block(opt, "datasets")
