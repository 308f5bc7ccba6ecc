"""BasicSR's command line, as torchrun and current launchers pass it, and its options."""

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

RENDEZVOUS = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Environment variables that torchrun sets."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of BasicSR's train.py and test.py to `parser`."""
    parser.add_argument(
        "-opt",
        "--opt",
        required=True,
        type=os.path.expanduser,
        metavar="FILE",
        help="option file (YAML)",
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm"],
        default="none",
        help="launcher of the processes; torchrun is detected (default: none)",
    )
    parser.add_argument(
        "--auto_resume", action="store_true", help="resume from the newest readable training state"
    )
    parser.add_argument(
        "--debug",
        action="store_true",
        help="log and validate after a few iterations, and prefix the name with debug_",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument(
        "--force_yml",
        nargs="+",
        metavar="KEY=VALUE",
        default=None,
        help="options to override, such as train:total_iter=1000 or 'val:metrics=~'; "
        "+train:new_key=1 adds a key",
    )


def words(args: argparse.Namespace, overrides: bool = True) -> list[str]:
    """Return the command line that parses to `args`; without --force_yml unless `overrides`."""
    line = ["-opt", args.opt, "--launcher", launcher(args.launcher)]
    line += ["--local_rank", str(args.local_rank)]
    if args.auto_resume:
        line.append("--auto_resume")
    if args.debug:
        line.append("--debug")
    if overrides and args.force_yml:
        line += ["--force_yml", *args.force_yml]
    return line


def launcher(name: str) -> str:
    """Return the launcher of the command line, or `pytorch` for `none` under torchrun."""
    is_torchrun = all(variable in os.environ for variable in RENDEZVOUS)
    return "pytorch" if name == "none" and is_torchrun else name


def read_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the file `args.opt` with the changes of `args.force_yml`.

    `num_gpu` becomes a number. The plug-ins of the file are imported, since one of them may have
    the model.

    Raises:
        OptionError: the file is missing or not an option file, a change does not fit, a plug-in
            cannot be imported, `name` is not a plain name, or one process would use several GPUs.
    """
    from wxr_plugin.errors import OptionError
    from wxr_plugin.options.files import import_plugins, load
    from wxr_plugin.utils.gpus import check_one_gpu
    from wxr_plugin.utils.safe_paths import name_fault

    options = load(args.opt, args.force_yml or ())
    if fault := name_fault(str(options.get("name", "unnamed"))):
        name = f"the name {options['name']!r} {fault}"
        raise OptionError(f"{args.opt}: name: {name}; write a plain name: it becomes a folder name")
    import_plugins(options)
    requested = options.get("num_gpu", "auto")
    options["num_gpu"] = usable_gpus(requested)
    if launcher(args.launcher) == "none" and _is_ours(options):
        if requested == "auto":
            options["num_gpu"] = min(options["num_gpu"], 1)
        check_one_gpu(options["num_gpu"], distributed=False, file=args.opt)
    return options


def _is_ours(options: dict[str, Any]) -> bool:
    """Return whether the model is a WxrModel, which trains on one GPU in each process.

    BasicSR's own models may use nn.DataParallel.
    """
    from wxr_plugin.options.checks.components import model_class

    return getattr(model_class(options), "one_gpu_per_process", False)


def usable_gpus(requested: int | str) -> int:
    """Return the number of GPUs to train on: `requested`, all for `auto`, 0 without CUDA.

    Without CUDA a warning takes the place of an error, so that one option file serves a laptop and
    a cluster.
    """
    import torch

    if requested == "auto":
        return torch.cuda.device_count()
    if requested and not torch.cuda.is_available():
        warnings.warn(
            f"num_gpu is {requested}, but CUDA is not available: running on the CPU. Check the "
            "driver (nvidia-smi), or set num_gpu: 0 or auto to silence this",
            stacklevel=2,
        )
        return 0
    return requested


@contextmanager
def command_line(line: Sequence[str]) -> Iterator[None]:
    """Set `sys.argv` to the program's name and `line` within the block."""
    before = sys.argv
    sys.argv = [before[0], *line]
    try:
        yield
    finally:
        sys.argv = before
