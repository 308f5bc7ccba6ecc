"""BasicSR's command line: its arguments, as torchrun and current launchers pass them, and the options they lead to."""

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

RENDEZVOUS = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of BasicSR's train.py and test.py to `parser`."""
    parser.add_argument(
        "-opt", required=True, type=os.path.expanduser, metavar="FILE", help="option file (YAML)"
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm"],
        default="none",
        help="how the processes were started; under torchrun, pytorch is found without it",
    )
    parser.add_argument(
        "--auto_resume", action="store_true", help="go on from the newest state that can be read"
    )
    parser.add_argument(
        "--debug", action="store_true", help="short intervals, and `debug_` before the name"
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument(
        "--force_yml",
        nargs="+",
        metavar="KEY=VALUE",
        default=None,
        help="change options: train:total_iter=1000 'val:metrics=~'; +train:new_key=1 adds a key",
    )


def words(args: argparse.Namespace, overrides: bool = True) -> list[str]:
    """The command line that parses to `args`; without --force_yml when its changes are made already."""
    line = [
        "-opt",
        args.opt,
        "--launcher",
        launcher(args.launcher),
        "--local_rank",
        str(args.local_rank),
    ]
    line += ["--auto_resume"] * args.auto_resume + ["--debug"] * args.debug
    return [*line, "--force_yml", *args.force_yml] if overrides and args.force_yml else line


def launcher(named: str) -> str:
    """The launcher `named` on the command line; `pytorch` if that is none and torchrun's environment is there."""
    torchrun = all(name in os.environ for name in RENDEZVOUS)
    return "pytorch" if named == "none" and torchrun else named


def read_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the file `args.opt`, changed as `args.force_yml` says, with a number for `num_gpu`.

    The plug-ins that the file names are imported, since one of them may have the model.

    Raises:
        OptionError: there is no such file, it is no option file, a change or a plug-in does not
            fit, `name` is no plain name, or it wants several GPUs in one process.
    """
    from wxr_plugin.errors import OptionError
    from wxr_plugin.options.files import import_plugins, load
    from wxr_plugin.utils.gpus import check_one_gpu
    from wxr_plugin.utils.safe_paths import name_fault

    options = load(args.opt, args.force_yml or ())
    if fault := name_fault(str(options.get("name", "unnamed"))):
        raise OptionError(
            f"{args.opt}: name: the name {options['name']!r} {fault}; write a plain name: a folder "
            f"is named after it"
        )
    import_plugins(options)
    requested = options.get("num_gpu", "auto")
    options["num_gpu"] = usable_gpus(requested)
    if launcher(args.launcher) == "none" and _is_ours(options):
        if requested == "auto":
            options["num_gpu"] = min(options["num_gpu"], 1)
        check_one_gpu(options["num_gpu"], distributed=False, file=args.opt)
    return options


def _is_ours(options: dict[str, Any]) -> bool:
    """Whether the model is a WxrModel, which trains on one GPU a process; BasicSR's own may use nn.DataParallel."""
    from wxr_plugin.options.checks.components import registered

    model = registered("model").get(str(options.get("model_type")))
    return getattr(model, "one_gpu_per_process", False)


def usable_gpus(asked: int | str) -> int:
    """Return the number of GPUs that this machine has for a training: `asked`, all of them for `auto`, 0 without CUDA.

    We fall back to the CPU with a warning instead of stopping, so that one option file serves a
    laptop and a cluster.
    """
    import torch

    if asked == "auto":
        return torch.cuda.device_count()
    if asked and not torch.cuda.is_available():
        warnings.warn(
            f"num_gpu is {asked}, but CUDA is not available: running on the CPU. If this machine "
            f"has a GPU, look at "
            "its driver (nvidia-smi); if not, num_gpu: 0 or auto silences this",
            stacklevel=2,
        )
        return 0
    return asked


@contextmanager
def command_line(line: Sequence[str]) -> Iterator[None]:
    """Within the block, `sys.argv` holds `line` after the program's name; afterwards it is as it was."""
    before = sys.argv
    sys.argv = [before[0], *line]
    try:
        yield
    finally:
        sys.argv = before
