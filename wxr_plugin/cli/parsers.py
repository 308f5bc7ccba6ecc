"""What the parsers of the sub-commands have in common."""

import argparse
from collections.abc import Callable, Sequence

Run = Callable[[argparse.Namespace], int | None]


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


def add_command(
    subparsers: argparse._SubParsersAction, name: str, purpose: str, run: Run, examples: str = ""
) -> argparse.ArgumentParser:
    """Add the sub-command `name`, which calls `run(args) -> exit code`, and return its parser."""
    parser = subparsers.add_parser(
        name,
        help=purpose,
        description=f"{purpose.capitalize()}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(func=run)
    return parser
