"""`wxr check`: all problems of option files."""

import argparse
import sys
from pathlib import Path
from typing import Any

from wxr_plugin.cli.parsers import add_command, add_overrides
from wxr_plugin.utils.json_output import add_json, print_json

DESCRIPTION = """
Check option files of trainings, tests, benchmarks and WResVLM runs. Each problem is a line on
stderr: FILE:LINE: KEY: problem; fix. Exit code 2 if a file has problems.
"""
EXAMPLES = """examples:
  wxr check options/train/wxr_paired_folder.yml
  wxr check options/train/*.yml --force_yml num_gpu=0
  wxr check options/train/*.yml --json > problems.json
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `check` to the `wxr` command."""
    summary = "check option files and report each problem with its place and fix"
    parser = add_command(subparsers, "check", summary, run, DESCRIPTION, EXAMPLES)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="option file (YAML)")
    add_overrides(parser, "num_gpu=0")
    add_json(parser, "the problems of each file")


def run(args: argparse.Namespace) -> int:
    """Check each file and print its problems to stderr; return 2 if any file has problems."""
    from wxr_plugin.options import files

    of_files = []
    for file in args.files:
        try:
            problems = _problems(files.load(file, args.force_yml, warn=False), file)
        except files.OptionError as error:  # cannot be read, so there is nothing to check
            problems = [error]
        of_files.append({"file": file, "problems": [_values(problem) for problem in problems]})
        if problems:
            print(*problems, sep="\n", file=sys.stderr)
        elif not args.json:
            print(f"{file}: no problems")
    if args.json:
        print_json(of_files)
    return 2 if any(file["problems"] for file in of_files) else 0


def _values(problem: Any) -> dict[str, Any]:
    """Return a problem for JSON; an error without a place has its message alone."""
    fields = {name: getattr(problem, name, None) for name in ("line", "key", "fix")}
    return {**fields, "problem": getattr(problem, "fault", str(problem))}


def _problems(opt: dict[str, Any], file: Path) -> list[Any]:
    from wxr_plugin.options import files
    from wxr_plugin.options.kinds import is_benchmark_file, is_run_file

    # Each checker is imported only for its own files: they are slow to import.
    if is_benchmark_file(opt):
        from wxr_plugin.benchmark.checking import check_benchmark

        return check_benchmark(opt, file)
    if is_run_file(opt):
        from wxr_plugin.wresvlm.checking import check_run

        return check_run(opt, file)
    return files.check(opt, file, files.is_for_training(opt))
