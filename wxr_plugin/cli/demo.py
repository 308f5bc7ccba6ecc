"""`wxr demo`: from photos to a report in some minutes."""

import argparse
from pathlib import Path

from wxr_plugin.cli.parsers import add_command

DESCRIPTION = """
Run the whole method at toy size: rate photos, learn prompts, train on pairs and then with
pseudo-labels, restore, and write a report. Stages that are done are skipped, so an interrupted demo
resumes.
"""
EXAMPLES = """examples:
  wxr demo -o demo
  wxr demo -o demo --real my_photos/
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `demo` to the `wxr` command."""
    summary = "train a small network with a vision-language model in the loop"
    parser = add_command(subparsers, "demo", summary, run, DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("demo"),
        metavar="FOLDER",
        help="output folder",
    )
    parser.add_argument(
        "--real",
        type=Path,
        metavar="FOLDER",
        help="your own weather photos, in the sub-folders rain, haze and snow",
    )
    parser.add_argument(
        "--warmup", type=int, default=100, metavar="N", help="iterations of supervised training"
    )
    parser.add_argument(
        "--iterations",
        type=int,
        default=150,
        metavar="N",
        help="iterations of semi-supervised training after the warm-up",
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo, then print its table and the path of the page."""
    from wxr_plugin.demo import run as demo

    settings = demo.Settings(warmup=args.warmup, iterations=args.iterations)
    page = demo.run(args.output, args.real, settings)
    print(f"\nOpen {page.resolve()}")
    return 0
