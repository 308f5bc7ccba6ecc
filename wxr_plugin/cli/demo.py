"""`wxr demo`: from photos to a report in some minutes."""

import argparse
from pathlib import Path

from wxr_plugin.cli.parsers import add_command, positive
from wxr_plugin.options.vlm_specs import rater_options
from wxr_plugin.utils.json_output import add_json
from wxr_plugin.utils.plans import add_dry_run, check_json, print_plan

DESCRIPTION = """
Run the whole method at toy size, from the packaged restorer: train it on pairs alone, and on pairs
and photos without ground truth, whose pseudo-labels a vision-language model chooses; then compare
all three on one page. Stages that are done are skipped, so an interrupted demo resumes.
"""
EXAMPLES = """examples:
  wxr demo -o demo
  wxr demo -o demo --dry-run
  wxr demo -o demo --real my_photos/
  wxr demo -o demo --judge llava-1.5-7b
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
        "--warmup",
        type=positive,
        metavar="N",
        help="iterations of the supervised training that it is compared with; as many when absent",
    )
    parser.add_argument(
        "--iterations",
        type=positive,
        default=200,
        metavar="N",
        help="iterations of semi-supervised training",
    )
    parser.add_argument(
        "--judge",
        metavar="RATER",
        help="a rater that takes no part in training, for a second VLM-Vis: MODEL, pyiqa:METRIC, "
        "http://HOST:PORT/v1#MODEL or FILE.yml",
    )
    add_dry_run(parser)
    add_json(parser, "the plan of --dry-run")


def run(args: argparse.Namespace) -> int:
    """Run the demo, then print its table and the path of the page."""
    from wxr_plugin.demo import run as demo

    check_json(args)
    judge = rater_options(args.judge) if args.judge else {}
    settings = demo.Settings(args.warmup or args.iterations, args.iterations, judge)
    if args.dry_run:
        print_plan(demo.planned(args.output, args.real, settings), args.json)
        return 0
    page = demo.run(args.output, args.real, settings)
    print(f"\nOpen {page.resolve()}")
    return 0
