"""Building blocks of the parsers: commands, groups of commands, shared arguments."""

import argparse
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

from wxr_plugin.utils.help_text import HelpFormatter
from wxr_plugin.utils.offline import set_offline
from wxr_plugin.utils.wording import nearest

OTHER_SPELLING = {"-opt": "--opt", "--opt": "-opt"}

Run = Callable[[argparse.Namespace], int | None]
"""Function of a command: parsed arguments -> exit code, None for 0."""


class CommandParser(argparse.ArgumentParser):
    """Parser of `wxr` and its commands: takes -opt and --opt alike, and suggests near names.

    Unknown arguments are reported with its own usage; argparse reports them with that of `wxr`.
    """

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as argparse does, and end with an error if arguments are left over."""
        words = sys.argv[1:] if args is None else args
        spelt = [self._spelt(word) for word in words]
        # Nested parsers hand unknown arguments up; reported here, they come with the right usage.
        namespace, unknown = super().parse_known_args(spelt, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._advice(unknown)}")
        return namespace, unknown

    def _spelt(self, word: str) -> str:
        """Return -opt as --opt, or the other way round, if only that is an option here."""
        flag, equals, value = word.partition("=")
        other = OTHER_SPELLING.get(flag)
        known = self._option_string_actions
        if other is None or flag in known or other not in known:
            return word
        return f"{other}{equals}{value}"

    def _advice(self, unknown: Sequence[str]) -> str:
        """Return the options near the first unknown one, in brackets; empty if none is near."""
        for word in unknown:
            flag = word.partition("=")[0]
            close = get_close_matches(flag, self._option_string_actions, n=2, cutoff=0.6)
            if flag.startswith("-") and close:
                return f" (did you mean {' or '.join(close)}?)"
        return ""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Suggest the nearest command or choice; argparse lists all of them."""
        if action.choices is None or value in action.choices:
            return
        what = "command" if isinstance(action, argparse._SubParsersAction) else "choice"
        names = map(str, action.choices)
        raise argparse.ArgumentError(action, f"no such {what}: {value!r}; {nearest(value, names)}")


def positive(text: str) -> int:
    """Return `text` as a whole number of at least 1; for `type` of an argument."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def not_negative(text: str) -> int:
    """Return `text` as a whole number of at least 0; for `type` of an argument."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
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
        add_verbosity(parser)
    return parser


def add_verbosity(parser: argparse.ArgumentParser) -> None:
    """Add `-q` and `-v`, which may stand before the command or after it."""
    # A command's default would replace what stands before the command.
    flags: dict[str, Any] = {"action": "store_true", "default": argparse.SUPPRESS}
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-q", "--quiet", help="print results and errors only, no bars", **flags)
    group.add_argument("-v", "--verbose", help="print the traceback of an error", **flags)


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


class _Offline(argparse.Action):
    """Action that ends all access to other machines as soon as the option is read."""

    def __call__(self, *_: object) -> None:
        """Set the offline mode; the parser's arguments are not needed."""
        set_offline()


def add_offline(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add `--offline`, which sets HF_HUB_OFFLINE."""
    parser.add_argument(
        "--offline",
        action=_Offline,
        nargs=0,
        default=argparse.SUPPRESS,
        help="fetch nothing; use cached models only (the same as HF_HUB_OFFLINE=1)",
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
