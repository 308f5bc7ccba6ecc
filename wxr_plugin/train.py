"""`python -m wxr_plugin.train -opt FILE`: check the option file, then run BasicSR's training."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence

from wxr_plugin.options import command_line
from wxr_plugin.utils.commands import run_command
from wxr_plugin.utils.help_text import HelpFormatter
from wxr_plugin.utils.json_output import add_json
from wxr_plugin.utils.plans import add_dry_run, check_json, print_plan

DESCRIPTION = """
Train the network of an option file with BasicSR's pipeline. The file is checked first: if it has
problems, all of them are printed and nothing is started (exit code 2).

Checkpoints, training states and logs are written to experiments/NAME in the current directory. An
existing folder of that name is renamed, unless --auto_resume continues it; if the start fails, it
is restored.

`wxr train` and `python -m wxr_plugin.train` are the same.
"""
EXAMPLES = """examples:
  wxr train -opt options/train/wxr_paired_folder.yml
  wxr train -opt options/train/wxr_paired_folder.yml --dry-run
  wxr train -opt options/train/wxr_paired_folder.yml --auto_resume
  wxr train -opt options/train/wxr_paired_folder.yml --force_yml train:total_iter=200000
  torchrun --nproc_per_node 2 -m wxr_plugin.train -opt options/train/wxr_paired_folder.yml
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Train by the command line `argv` (`sys.argv` when None) and return the exit code.

    It is 2 for an option file that cannot be used.
    """
    parser = argparse.ArgumentParser("python -m wxr_plugin.train", formatter_class=HelpFormatter)
    configure(parser)
    args = parser.parse_args(argv)
    return run_command(parser.prog, lambda: run(args))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description, examples and arguments of this command to `parser`."""
    parser.description = DESCRIPTION
    parser.epilog = EXAMPLES
    command_line.add_arguments(parser)
    add_root(parser, "experiments/ and tb_logger/")
    add_dry_run(parser)
    add_json(parser, "the plan of --dry-run")


def add_root(parser: argparse.ArgumentParser, folders: str) -> None:
    """Add `--root`, in which `folders` are created."""
    parser.add_argument(
        "--root", default=".", metavar="FOLDER", help=f"folder in which to create {folders}"
    )


def run(args: argparse.Namespace) -> int:
    """Train by parsed arguments and return the exit code."""
    from basicsr.train import train_pipeline

    return drive(train_pipeline, args, is_train=True)


def drive(pipeline: Callable[[str], None], args: argparse.Namespace, is_train: bool) -> int:
    """Check the option file, run one of BasicSR's pipelines on it, or print the plan; return 0.

    The pipeline reads its arguments from `sys.argv`, which is replaced for that time.

    Raises:
        WxrError: an error that the user can fix. Other errors of the pipeline pass through.
    """
    from wxr_plugin.options.files import check_file
    from wxr_plugin.options.planning import planned

    check_json(args)
    try:
        check_file(args.opt, is_train, args.force_yml or ())
        if args.dry_run:
            print_plan(planned(args, is_train), args.json)
            return 0
        # BasicSR opens a log once a process; an open one would keep this run from writing its own.
        _release_log()
        with command_line.command_line(command_line.words(args)):
            pipeline(os.path.abspath(args.root))
    finally:
        _release_log()
    _leave_group()
    return 0


def _release_log() -> None:
    """Close BasicSR's logger, so that the next run in this process does not write to this file."""
    from basicsr.utils.logger import initialized_logger

    logger = logging.getLogger("basicsr")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    initialized_logger.pop("basicsr", None)


def _leave_group() -> None:
    """Destroy the process group, so that torchrun ends without a warning."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
