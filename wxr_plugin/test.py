"""`python -m wxr_plugin.test -opt FILE`: check the option file, then hand over to BasicSR's test pipeline."""

import argparse
import sys
from collections.abc import Sequence

from wxr_plugin.options import command_line
from wxr_plugin.train import add_root, drive
from wxr_plugin.utils.commands import run_command

DESCRIPTION = """\
Restore the sets of an option file with a trained network and measure its metrics, with BasicSR's pipeline. The file is
checked first, as in training. Images and the log go to results/NAME below the current directory.
"""
EXAMPLES = """\
examples:
  wxr test -opt options/test/tiny_restorer.yml
  wxr test -opt options/test/tiny_restorer.yml --force_yml path:pretrain_network_g=net_g_latest.pth
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Test by the command line `argv` (`sys.argv` when None); the exit code, 2 for a file that cannot be used."""
    parser = argparse.ArgumentParser(
        "python -m wxr_plugin.test", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    configure(parser)
    args = parser.parse_args(argv)
    return run_command(parser.prog, lambda: run(args))


def configure(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the description, examples and arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    command_line.add_arguments(parser)
    add_root(parser, "results/")


def run(args: argparse.Namespace) -> int:
    """Test by parsed arguments; the exit code."""
    from basicsr.test import test_pipeline

    return drive(test_pipeline, args, is_train=False)


if __name__ == "__main__":
    sys.exit(main())
