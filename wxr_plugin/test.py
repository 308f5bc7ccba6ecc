"""`python -m wxr_plugin.test -opt FILE`: check the option file, then run BasicSR's test."""

import argparse
import sys
from collections.abc import Sequence

from wxr_plugin.options import command_line
from wxr_plugin.train import add_root, drive
from wxr_plugin.utils.commands import run_command
from wxr_plugin.utils.help_text import HelpFormatter
from wxr_plugin.utils.json_output import add_json
from wxr_plugin.utils.plans import add_dry_run

DESCRIPTION = """
Restore the test sets of an option file with a trained network and compute its metrics, with
BasicSR's pipeline. The file is checked first, as in training. Images and the log are written to
results/NAME in the current directory.

`wxr test` and `python -m wxr_plugin.test` are the same.
"""
EXAMPLES = """examples:
  wxr test -opt options/test/tiny_restorer.yml
  wxr test -opt options/test/tiny_restorer.yml --dry-run
  wxr test -opt options/test/tiny_restorer.yml --force_yml path:pretrain_network_g=net_g_latest.pth
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Test by the command line `argv` (`sys.argv` when None) and return the exit code.

    It is 2 for an option file that cannot be used.
    """
    parser = argparse.ArgumentParser("python -m wxr_plugin.test", formatter_class=HelpFormatter)
    configure(parser)
    args = parser.parse_args(argv)
    return run_command(parser.prog, lambda: run(args))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description, examples and arguments of this command to `parser`."""
    parser.description = DESCRIPTION
    parser.epilog = EXAMPLES
    command_line.add_arguments(parser)
    add_root(parser, "results/")
    add_dry_run(parser)
    add_json(parser, "the plan of --dry-run")


def run(args: argparse.Namespace) -> int:
    """Test by parsed arguments and return the exit code."""
    from basicsr.test import test_pipeline

    return drive(test_pipeline, args, is_train=False)


if __name__ == "__main__":
    sys.exit(main())
