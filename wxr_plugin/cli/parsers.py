"""Building blocks of the parsers: commands, groups of commands, shared arguments."""

import argparse
from collections.abc import Callable, Sequence

from wxr_plugin.utils.help_text import HelpFormatter

Run = Callable[[argparse.Namespace], int | None]
"""Function of a command: parsed arguments -> exit code, None for 0."""


class CommandParser(argparse.ArgumentParser):
    """Parser of a sub-command that reports unknown arguments with its own usage.

    argparse reports them with the usage of the top parser, `wxr`.
    """

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as argparse does, and end with an error if arguments are left over."""
        # Nested parsers hand unknown arguments up; reported here, they come with the right usage.
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return namespace, unknown


def positive(text: str) -> int:
    """Return `text` as a whole number of at least 1; for `type` of an argument."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def add_command(
    subparsers: argparse._SubParsersAction,
    name: str,
    summary: str,
    run: Run | None = None,
    description: str = "",
    examples: str = "",
) -> argparse.ArgumentParser:
    """Add the command `name`, which calls `run(args)`, and return its parser.

    Args:
        summary: phrase in the imperative without a full stop, for the list of commands.
        description: whole sentences for the command's own help; the summary when empty.
        examples: printed below the arguments, as written.
    """
    parser = subparsers.add_parser(
        name,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        epilog=examples,
        formatter_class=HelpFormatter,
    )
    # A group of commands has no function of its own.
    if run is not None:
        parser.set_defaults(func=run)
    return parser


def add_group(
    subparsers: argparse._SubParsersAction,
    name: str,
    summary: str,
    description: str = "",
    examples: str = "",
) -> argparse._SubParsersAction:
    """Add the command `name` that has commands of its own, and return what these are added to."""
    parser = add_command(subparsers, name, summary, None, description, examples)
    return parser.add_subparsers(title="commands", dest="action", metavar="COMMAND", required=True)


def add_device(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add `--device`."""
    parser.add_argument(
        "--device",
        metavar="DEVICE",
        help="cpu, cuda or cuda:N (default: the first GPU if there is one, otherwise cpu)",
    )


def add_overrides(parser: argparse.ArgumentParser, example: str) -> None:
    """Add `--force_yml`, which changes options of the file, with an `example` of a change."""
    parser.add_argument(
        "--force_yml",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help=f"options to override, such as {example}",
    )
