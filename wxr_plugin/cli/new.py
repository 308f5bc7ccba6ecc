"""`wxr new arch`: the files of a new network."""

import argparse
from pathlib import Path

from wxr_plugin.cli.parsers import add_command, add_group

DESCRIPTION = """
Create a network that runs as it is, its option file, and a test or, in the repository of
wxr_plugin, a row of the zoo. docs/contributing.md describes the next steps.
"""
EXAMPLES = """examples:
  wxr new arch FrostNet                       in the repository of wxr_plugin
  wxr new arch FrostNet --into my_networks    in your own package
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `new` to the `wxr` command."""
    summary = "create the files of a contribution"
    kinds = add_group(subparsers, "new", summary, examples=EXAMPLES)
    summary = "create a network with its option file and test"
    arch = add_command(kinds, "arch", summary, run_new_arch, DESCRIPTION, EXAMPLES)
    arch.add_argument("name", metavar="NAME", help="class name, such as FrostNet")
    arch.add_argument(
        "--into", type=Path, metavar="FOLDER", help="your own package; created if it is missing"
    )


def run_new_arch(args: argparse.Namespace) -> int:
    """Write the files, and print them and the next steps."""
    from wxr_plugin.contributing.new_arch import new_arch

    written = new_arch(args.name, Path.cwd(), args.into)
    for file in written.values():
        print(f"wrote {_short(file)}")
    print("\nNext steps, once the network has your layers:")
    for step in next_steps(args.name, written):
        print(f"  {step}")
    return 0


def next_steps(name: str, written: dict[str, Path]) -> list[str]:
    """Return the next commands for the files that `new_arch` has `written`."""
    option = _short(written["option"])
    check = f"wxr check {option}    # reports missing folders of photos"
    return [*_first_steps(name, written), check, f"wxr train -opt {option}"]


def _first_steps(name: str, written: dict[str, Path]) -> list[str]:
    if "row" in written:
        test = f"python -m pytest tests/archs/test_registry_walk.py -k {name}"
        return [f"fill in {_short(written['row'])}", test]
    test = f"python -m pytest {_short(written['test'])}"
    if "package" in written:
        return [test]
    # An existing package imports its modules its own way.
    package = _short(written["arch"].parent / "__init__.py")
    module = written["arch"].stem
    return [f"import {module} in {package}, unless it imports every *_arch.py", test]


def _short(file: Path) -> str:
    """Return the path relative to the current directory, or the absolute one outside it."""
    # Short paths can be copied into the commands that are printed.
    absolute, here = file.resolve(), Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)
