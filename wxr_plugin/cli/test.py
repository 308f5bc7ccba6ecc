"""`wxr test`."""

import argparse

from wxr_plugin import test
from wxr_plugin.cli.parsers import add_command


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `test` to the `wxr` command."""
    test.configure(
        add_command(
            subparsers, "test", "run a trained network over test sets with BasicSR", test.run
        )
    )
