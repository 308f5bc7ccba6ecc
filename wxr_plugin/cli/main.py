"""The `wxr` command: its parser, with all sub-commands, and its exit codes."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from wxr_plugin import __version__
from wxr_plugin.cli.parsers import CommandParser, add_offline, add_verbosity
from wxr_plugin.utils.commands import run_command
from wxr_plugin.utils.help_text import HelpFormatter
from wxr_plugin.utils.offline import apply_offline
from wxr_plugin.utils.verbosity import printing

COMMANDS = (
    "train",
    "test",
    "check",
    "schema",
    "restore",
    "export",
    "zoo",
    "models",
    "hub",
    "lmdb",
    "data",
    "label",
    "prompts",
    "daclip",
    "wresvlm",
    "benchmark",
    "report",
    "app",
    "demo",
    "new",
    "env",
    "completion",
)
"""Modules of this package. `add_parser(subparsers)` of each adds its command, which sets
`func(args) -> exit code`."""

EXAMPLE = """example:
  wxr check options/tiny/supervised.yml && wxr train -opt options/tiny/supervised.yml

Run `wxr COMMAND --help` for the arguments and examples of a command.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `wxr` with `argv` (the process's own arguments when None) and return its exit code.

    An error that the user can fix is one line on stderr and code 2; see `run_command` for the other
    codes.
    """
    # HF_HUB_OFFLINE holds for all libraries, not only for those of the hub.
    apply_offline()
    # argparse ends the process with code 2 by itself.
    args = build_parser().parse_args(argv)
    quiet, verbose = getattr(args, "quiet", False), getattr(args, "verbose", False)
    with printing(quiet, verbose):
        return run_command(f"wxr {args.command}", lambda: args.func(args))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `wxr` with all sub-commands."""
    parser = CommandParser(
        "wxr",
        description="Remove rain, haze and snow from photos, with BasicSR and vision-language "
        "models in the loop.",
        epilog=EXAMPLE,
        formatter_class=HelpFormatter,
    )
    add_verbosity(parser)
    parser.add_argument("--version", action="version", version=f"wxr_plugin {__version__}")
    add_offline(parser)
    subparsers = parser.add_subparsers(
        title="commands",
        dest="command",
        metavar="COMMAND",
        required=True,
        parser_class=CommandParser,
    )
    # The help lists commands in this order.
    for command in COMMANDS:
        importlib.import_module(f"wxr_plugin.cli.{command}").add_parser(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
