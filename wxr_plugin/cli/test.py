"""`wxr test`: the same as `python -m wxr_plugin.test`."""

import argparse

from wxr_plugin import test
from wxr_plugin.cli.parsers import add_command, add_offline


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `test` to the `wxr` command."""
    summary = "evaluate a trained network on test sets with BasicSR"
    parser = add_command(subparsers, "test", summary, test.run)
    add_offline(parser)
    test.configure(parser)
