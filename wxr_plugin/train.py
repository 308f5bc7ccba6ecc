"""`python -m wxr_plugin.train -opt FILE`: check the option file, then hand over to BasicSR's training pipeline."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence

from wxr_plugin.options import command_line
from wxr_plugin.utils.commands import run_command

DESCRIPTION = """\
Train what an option file describes, with BasicSR's pipeline. The file is checked first: all its problems are printed at
once, and nothing is started (exit code 2). Checkpoints, states and logs go to experiments/NAME below the current
directory. An older folder of that name is renamed when training starts, unless --auto_resume continues it; a start
that fails leaves it in place.
"""
EXAMPLES = """\
examples:
  wxr train -opt options/train/wxr_paired_folder.yml
  wxr train -opt options/train/wxr_paired_folder.yml --auto_resume --force_yml train:total_iter=200000
  torchrun --nproc_per_node 2 -m wxr_plugin.train -opt options/train/wxr_paired_folder.yml --launcher pytorch

`wxr train` and `python -m wxr_plugin.train` are the same. The template's datasets/... are your own folders.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Train by the command line `argv` (`sys.argv` when None); the exit code, 2 for a file that cannot be used."""
    parser = argparse.ArgumentParser(
        "python -m wxr_plugin.train", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    configure(parser)
    args = parser.parse_args(argv)
    return run_command(parser.prog, lambda: run(args))


def configure(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the description, examples and arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    command_line.add_arguments(parser)
    add_root(parser, "experiments/ and tb_logger/")


def add_root(parser: argparse.ArgumentParser, folders: str) -> None:
    """Add `--root`, the folder that gets `folders`."""
    parser.add_argument(
        "--root", default=".", metavar="FOLDER", help=f"folder that gets {folders}; the current one"
    )


def run(args: argparse.Namespace) -> int:
    """Train by parsed arguments; the exit code."""
    from basicsr.train import train_pipeline

    return drive(train_pipeline, args, is_train=True)


def drive(pipeline: Callable[[str], None], args: argparse.Namespace, is_train: bool) -> int:
    """Check the option file, run one of BasicSR's pipelines on it and return 0.

    The pipeline reads `sys.argv`, which holds the arguments meanwhile. Raises what the check and
    the pipeline raise: WxrError for what the user can fix.
    """
    from wxr_plugin.options.files import check_file

    try:
        check_file(args.opt, is_train, args.force_yml or ())
        _release_log()  # one that was opened before would keep the pipeline from writing its own
        with command_line.command_line(command_line.words(args)):
            pipeline(os.path.abspath(args.root))
    finally:
        _release_log()
    _leave_group()
    return 0


def _release_log() -> None:
    """Close BasicSR's logger, which would go on writing to this run's file when the process starts another run."""
    from basicsr.utils.logger import initialized_logger

    logger = logging.getLogger("basicsr")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    initialized_logger.pop("basicsr", None)


def _leave_group() -> None:
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
