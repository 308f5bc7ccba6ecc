"""`wxr train`: the same as `python -m wxr_plugin.train`."""

import argparse

from wxr_plugin import train
from wxr_plugin.cli.parsers import add_command, add_offline


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `train` to the `wxr` command."""
    parser = add_command(subparsers, "train", "train a network with BasicSR", train.run)
    add_offline(parser)
    train.configure(parser)
