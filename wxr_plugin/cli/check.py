"""`wxr check`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from wxr_plugin.cli.parsers import add_command

EXAMPLES = """examples:
  wxr check options/train/wxr_paired_folder.yml
  wxr check options/train/*.yml --force_yml num_gpu=0
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `check` to the `wxr` command."""
    purpose = "check option files: every problem, its place and its fix"
    parser = add_command(subparsers, "check", purpose, run, EXAMPLES)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="option files")
    parser.add_argument(
        "--force_yml", nargs="+", default=(), metavar="KEY=VALUE", help="change options first"
    )


def run(args: argparse.Namespace) -> int:
    """Check each file; 2 if any has problems, which go to stderr."""
    from wxr_plugin.options import files

    bad = 0
    for file in args.files:
        try:
            problems = _problems(files.load(file, args.force_yml, warn=False), file)
        except files.OptionError as error:
            problems = [error]
        bad += bool(problems)
        if problems:
            print(*problems, sep="\n", file=sys.stderr)
        else:
            print(f"{file}: no problems")
    return 2 if bad else 0


def _problems(opt: dict[str, Any], file: Path) -> list[Any]:
    from wxr_plugin.options import files
    from wxr_plugin.options.kinds import is_benchmark_file, is_run_file

    if is_benchmark_file(opt):
        from wxr_plugin.benchmark.checking import check_benchmark

        return check_benchmark(opt, file)
    if is_run_file(opt):
        from wxr_plugin.wresvlm.checking import check_run

        return check_run(opt, file)
    return files.check(opt, file, files.is_for_training(opt))
