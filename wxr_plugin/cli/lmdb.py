"""`wxr lmdb build` and `wxr lmdb check`."""

import argparse
from dataclasses import asdict

from wxr_plugin.cli.parsers import add_command, add_group, not_negative, positive
from wxr_plugin.utils.json_output import add_json, json_result
from wxr_plugin.utils.plans import add_dry_run, print_plan
from wxr_plugin.utils.wording import plural

DESCRIPTION = """
Build and check LMDBs in BasicSR's format: one file instead of thousands, read by every BasicSR
dataset.
"""
BUILD = """
Store a folder of images, sub-folders included, in an LMDB. The bytes of the files are kept, so a
JPEG stays a JPEG. An interrupted build resumes; unreadable files are reported and skipped.
"""
BUILD_EXAMPLES = """examples:
  wxr lmdb build photos/ photos.lmdb
  wxr lmdb build DIV2K_train_HR/ DIV2K_train_HR_sub.lmdb --crop-size 480 --step 240
"""
CHECK = """
Decode every image of an LMDB and compare checksums. Exit code 1 if an entry is corrupt, missing or
surplus.
"""
CHECK_EXAMPLES = """example:
  wxr lmdb check photos.lmdb && echo sound
"""
EXAMPLES = """examples:
  wxr lmdb build photos/ photos.lmdb
  wxr lmdb check photos.lmdb && echo sound
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `lmdb` to the `wxr` command."""
    summary = "build and check LMDBs of images"
    actions = add_group(subparsers, "lmdb", summary, DESCRIPTION, EXAMPLES)
    _add_build(actions)
    summary = "find corrupt, missing and surplus entries"
    check = add_command(actions, "check", summary, run_check, CHECK, CHECK_EXAMPLES)
    check.add_argument("lmdb", metavar="LMDB", help="LMDB built by `wxr lmdb build` or by BasicSR")
    add_json(check, "the problems")


def _add_build(actions: argparse._SubParsersAction) -> None:
    summary = "build an LMDB from a folder of images"
    parser = add_command(actions, "build", summary, run_build, BUILD, BUILD_EXAMPLES)
    parser.add_argument("src", metavar="FOLDER", help="folder of images")
    parser.add_argument("dst", metavar="LMDB", help="LMDB to write; its name ends in .lmdb")
    parser.add_argument(
        "--crop-size",
        type=int,
        default=0,
        metavar="PIXELS",
        help="cut images into squares of this side and store them as PNG (default: whole images)",
    )
    parser.add_argument(
        "--step",
        type=int,
        default=0,  # the crop size
        metavar="PIXELS",
        help="distance between the squares (default: the crop size)",
    )
    parser.add_argument(
        "--max-bad", type=not_negative, default=10, metavar="N", help="unreadable files to tolerate"
    )
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="threads that read and encode (default: one per core)",
    )
    add_dry_run(parser)
    add_json(parser, "the counts, or the plan,")


def run_build(args: argparse.Namespace) -> int:
    """Build the LMDB, then print its size and the files that were left out."""
    from wxr_plugin.data.lmdb.build import build, planned

    if args.dry_run:
        print_plan(planned(args.src, args.dst, args.crop_size, args.step), args.json)
        return 0
    with json_result(args.json) as values:
        # An earlier build that was interrupted resumes.
        result = build(args.src, args.dst, args.crop_size, args.step, args.max_bad, args.workers)
        for bad in result.bad:
            print(f"left out: {bad}")
        if result.damage:
            print(f"built again, since the earlier one was damaged: {result.damage}")
        state = "was built already and holds" if result.already_built else "holds"
        print(f"{args.dst} {state} {result.images} images")
        values.update(asdict(result), lmdb=args.dst)
    return 0


def run_check(args: argparse.Namespace) -> int:
    """Print each problem of the LMDB as a line; return 1 if there is one."""
    from wxr_plugin.data.lmdb.check import check

    with json_result(args.json) as result:
        problems = check(args.lmdb, progress=True)
        for problem in problems:
            print(problem)
        verdict = plural(len(problems), "problem") if problems else "sound"
        print(f"{args.lmdb}: {verdict}")
        result.update(lmdb=args.lmdb, problems=problems)
    return 1 if problems else 0
