"""The `wxr` command: one sub-command a job, each a thin function in the part of the package that does it."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from wxr_plugin.utils.commands import run_command

MODULES = (
    "wxr_plugin.commands",
    "wxr_plugin.inference.commands",
    "wxr_plugin.zoo.commands",
    "wxr_plugin.data.commands",
    "wxr_plugin.data.degradation_commands",
    "wxr_plugin.labels.commands",
    "wxr_plugin.conditioning.commands",
    "wxr_plugin.conditioning.daclip_commands",
    "wxr_plugin.wresvlm.commands",
    "wxr_plugin.benchmark.commands",
    "wxr_plugin.benchmark.report_commands",
    "wxr_plugin.demo.commands",
    "wxr_plugin.contributing.commands",
)
"""Each has `add_parser(subparsers)`, which adds its sub-commands; they set `func(args) -> exit code`."""

EXAMPLE = """example:
  wxr check options/tiny/supervised.yml && wxr train -opt options/tiny/supervised.yml

wxr COMMAND --help shows the arguments of a command, with an example.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `wxr` with `argv` (the process's own arguments when None) and return its exit code.

    An error that the user can fix is one line on stderr and code 2; see `run_command` for the other codes.
    """
    args = build_parser().parse_args(argv)
    return run_command(f"wxr {args.command}", lambda: args.func(args))


class CommandParser(argparse.ArgumentParser):
    """The parser of a sub-command, which reports unknown arguments with its own usage instead of that of `wxr`."""

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as argparse does, and end with an error if arguments are left over."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return namespace, unknown


def build_parser() -> argparse.ArgumentParser:
    """The parser of `wxr` with all sub-commands."""
    from wxr_plugin import __version__

    style = argparse.RawDescriptionHelpFormatter
    purpose = "Rain, haze and snow removal for BasicSR, with vision-language models in the loop."
    parser = argparse.ArgumentParser("wxr", description=purpose, epilog=EXAMPLE, formatter_class=style)
    parser.add_argument("--version", action="version", version=f"wxr_plugin {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=CommandParser)
    for module in MODULES:
        importlib.import_module(module).add_parser(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
