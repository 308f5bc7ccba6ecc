"""Plans of commands: output of `--dry-run`."""

import argparse
from collections.abc import Mapping
from typing import Any

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.json_output import print_json
from wxr_plugin.utils.tables import print_pairs

NOTHING = "nothing was run or written (--dry-run)"


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Add `--dry-run`, with which a command prints its plan and writes nothing."""
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print what would be done and where it would be written; run and write nothing",
    )


def check_json(args: argparse.Namespace) -> None:
    """Raise WxrError for `--json` without `--dry-run`, where only the plan is JSON."""
    if args.json and not args.dry_run:
        raise WxrError("--json prints the plan of --dry-run; add it, or leave --json out")


def print_plan(plan: Mapping[str, Any], as_json: bool = False) -> None:
    """Print a plan, name -> value, as lines or as JSON; the items of a list are lines of their own.

    Names are those of JSON; lines show them with spaces.
    """
    if as_json:
        print_json(plan)
        return
    pairs = []
    for name, value in plan.items():
        title = name.replace("_", " ")
        for line in _lines(value):
            pairs.append((title, line))
            title = ""
    print_pairs(pairs)
    print(NOTHING)


def _lines(value: Any) -> list[str]:
    """Return the lines of a value; an empty one has the line "none"."""
    if isinstance(value, Mapping):
        return [f"{name}: {_shown(item)}" for name, item in value.items()] or ["none"]
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value] or ["none"]
    return [_shown(value)]


def _shown(value: Any) -> str:
    """Return a value in a line: text as it is, numbers with commas, a mapping with its names."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(item)}" for name, item in value.items() if item != "")
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
