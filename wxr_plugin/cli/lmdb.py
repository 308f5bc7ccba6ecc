"""`wxr lmdb build` and `wxr lmdb check`."""

import argparse

BUILD_EXAMPLE = """example:
  wxr lmdb build photos/ photos.lmdb
  wxr lmdb build DIV2K_train_HR/ DIV2K_train_HR_sub.lmdb --crop-size 480 --step 240
"""
CHECK_EXAMPLE = """example:
  wxr lmdb check photos.lmdb && echo sound
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `lmdb` to the `wxr` command."""
    parser = subparsers.add_parser(
        "lmdb",
        help="build and check LMDBs of images",
        description="LMDBs in BasicSR's format: one file in place of thousands, read by any BasicSR dataset.",
        epilog=BUILD_EXAMPLE + CHECK_EXAMPLE.removeprefix("example:\n"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="{build,check}")
    _add_build(actions)
    _add_check(actions)


def _add_build(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        "build",
        help="make an LMDB from a folder of images",
        description="Store a folder of images, sub-folders included, in an LMDB. The files' own bytes are kept: a JPEG "
        "stays a JPEG. A build that was stopped goes on when it is run again; bad files are named "
        "and left out.",
        epilog=BUILD_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("src", help="folder of images")
    parser.add_argument("dst", help="the LMDB, a name that ends in .lmdb")
    parser.add_argument(
        "--crop-size", type=int, default=0, help="cut into squares of this side, stored as PNG"
    )
    parser.add_argument(
        "--step", type=int, default=0, help="distance between squares (default: the crop size)"
    )
    parser.add_argument(
        "--max-bad", type=int, default=10, help="files that may be unreadable (default: 10)"
    )
    parser.add_argument(
        "--workers", type=int, help="threads that read and encode (default: one a core)"
    )
    parser.set_defaults(func=run_build)


def _add_check(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        "check",
        help="find corrupt, missing and surplus entries",
        description="Decode every image of an LMDB and compare checksums. Exit code 1 if anything is wrong.",
        epilog=CHECK_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("lmdb", help="the LMDB, built by this command or by BasicSR")
    parser.set_defaults(func=run_check)


def run_build(args: argparse.Namespace) -> int:
    """Build, then say what the LMDB holds and which files were left out."""
    from wxr_plugin.data.lmdb.build import build

    result = build(args.src, args.dst, args.crop_size, args.step, args.max_bad, args.workers)
    for bad in result.bad:
        print(f"left out: {bad}")
    if result.damage:
        print(f"built again, since the earlier one was damaged: {result.damage}")
    state = "was built already and holds" if result.already_built else "holds"
    print(f"{args.dst} {state} {result.images} images")
    return 0


def run_check(args: argparse.Namespace) -> int:
    """Print what is wrong, one line each; exit code 1 if anything is."""
    from wxr_plugin.data.lmdb.check import check

    problems = check(args.lmdb, progress=True)
    for problem in problems:
        print(problem)
    print(f"{args.lmdb}: {len(problems)} problems" if problems else f"{args.lmdb}: sound")
    return 1 if problems else 0
