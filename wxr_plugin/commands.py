"""`wxr train`, `wxr test`, `wxr check` and `wxr schema`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from wxr_plugin import test, train

PURPOSES = {"train": "train a network with BasicSR", "test": "run a trained network over test sets with BasicSR"}

CHECK = """examples:
  wxr check options/train/wxr_paired_folder.yml
  wxr check options/train/*.yml --force_yml num_gpu=0
"""

SCHEMA = """examples:
  wxr schema > options.schema.json
  wxr schema --path

A first line such as this one gives an option file completion in editors with yaml-language-server:
  # yaml-language-server: $schema=../options.schema.json
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the four commands to `wxr`."""
    for name, module in (("train", train), ("test", test)):
        parser = _add(subparsers, name, PURPOSES[name], "", module.run)
        module.configure(parser)
    check = _add(subparsers, "check", "check option files: every problem, its place and its mend", CHECK, run_check)
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="option files")
    check.add_argument("--force_yml", nargs="+", default=(), metavar="KEY=VALUE", help="change options first")
    schema = _add(subparsers, "schema", "print the JSON schema from which editors complete", SCHEMA, run_schema)
    schema.add_argument("--path", action="store_true", help="print where the packaged schema lies instead")
    schema.add_argument("--write", type=Path, metavar="FILE", help="write the schema to FILE instead")


def _add(
    subparsers: argparse._SubParsersAction, name: str, purpose: str, examples: str, func: object
) -> argparse.ArgumentParser:
    style = argparse.RawDescriptionHelpFormatter
    parser = subparsers.add_parser(
        name, help=purpose, description=f"{purpose.capitalize()}.", epilog=examples, formatter_class=style
    )
    parser.set_defaults(func=func)
    return parser


def run_check(args: argparse.Namespace) -> int:
    """Check each file; 2 if any has problems, which go to stderr."""
    from wxr_plugin import options

    bad = 0
    for file in args.files:
        try:
            problems = _problems(options.load(file, args.force_yml, warn=False), file)
        except options.OptionError as error:
            problems = [error]
        bad += bool(problems)
        if problems:
            print(*problems, sep="\n", file=sys.stderr)
        else:
            print(f"{file}: no problems")
    return 2 if bad else 0


def _problems(opt: dict[str, Any], file: Path) -> list[Any]:
    from wxr_plugin import options
    from wxr_plugin.benchmark.options import is_benchmark_file
    from wxr_plugin.wresvlm.options import is_run_file

    if is_benchmark_file(opt):
        from wxr_plugin.benchmark.checking import check_benchmark

        return check_benchmark(opt, file)
    if is_run_file(opt):
        from wxr_plugin.wresvlm.checking import check_run

        return check_run(opt, file)
    return options.check(opt, file, options.is_for_training(opt))


def run_schema(args: argparse.Namespace) -> int:
    """Print or write the JSON schema."""
    from wxr_plugin import files
    from wxr_plugin.checks import editor

    if args.path:
        print(editor.SHIPPED)
    elif args.write:
        files.write_text(args.write, editor.text())
    else:
        print(editor.text(), end="")
    return 0
