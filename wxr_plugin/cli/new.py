"""`wxr new arch`."""

import argparse
from pathlib import Path

EXAMPLE = """examples:
  wxr new arch FrostNet                       in the repository of wxr_plugin: network, option file, zoo row
  wxr new arch FrostNet --into my_networks    in a package of yours: network, option file, test

docs/contributing.md says what becomes of them.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `new` to `wxr`."""
    style, purpose = (
        argparse.RawDescriptionHelpFormatter,
        "write the files with which a contribution starts",
    )
    new = subparsers.add_parser(
        "new",
        help=purpose,
        description=f"{purpose.capitalize()}.",
        epilog=EXAMPLE,
        formatter_class=style,
    )
    kinds = new.add_subparsers(dest="kind", metavar="KIND", required=True)
    purpose = "a network that works at once, its option file, and its zoo row or test"
    arch = kinds.add_parser(
        "arch", help=purpose, description=f"Write {purpose}.", epilog=EXAMPLE, formatter_class=style
    )
    arch.add_argument("name", metavar="NAME", help="name of its class, such as FrostNet")
    arch.add_argument(
        "--into", type=Path, metavar="FOLDER", help="package of yours; made where there is none"
    )
    arch.set_defaults(func=run_new_arch)


def run_new_arch(args: argparse.Namespace) -> int:
    """Write the files, and say what comes next."""
    import wxr_plugin.archs  # noqa: F401  what is registered already
    from wxr_plugin.contributing.new_arch import new_arch

    made = new_arch(args.name, Path.cwd(), args.into)
    for file in made.values():
        print(f"wrote {_short(file)}")
    print("\nNext, after you have put your layers into the network:")
    for step in next_steps(args.name, made):
        print(f"  {step}")
    return 0


def next_steps(name: str, made: dict[str, Path]) -> list[str]:
    """Commands with what they do, for the files of `new_arch`; a plug-in's start where its package lies."""
    option = _short(made["option"])
    check = f"wxr check {option}    # tells which folders of photos are missing"
    return [*_first_steps(name, made), check, f"wxr train -opt {option}"]


def _first_steps(name: str, made: dict[str, Path]) -> list[str]:
    if "row" in made:
        test = f"python -m pytest tests/archs/test_registry_walk.py -k {name}"
        return [f"fill in {_short(made['row'])}", test]
    test = f"python -m pytest {_short(made['test'])}"
    if "package" in made:
        return [test]
    package = made["arch"].parent / "__init__.py"
    return [
        f"import {made['arch'].stem} in {_short(package)}, unless it imports every *_arch.py",
        test,
    ]


def _short(file: Path) -> str:
    absolute = file.resolve()
    return str(
        absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute
    )
