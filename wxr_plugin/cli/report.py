"""`wxr report`: the report of a benchmark."""

import argparse
from pathlib import Path

from wxr_plugin.cli.parsers import add_command
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.json_output import add_json, print_json

MAX_IMAGES, MAX_SIDE = 12, 1024
"""The defaults of wxr_plugin.benchmark.report.write, whose import takes too long for --help."""

DESCRIPTION = """
Write report.html, report.md and report.tex for the benchmark in FOLDER, finished or not. The page
is a single file with all tables and some photos; it links to the files of the other photos.
"""
EXAMPLES = """examples:
  wxr report runs/real_weather
  wxr report runs/real_weather -o paper/ --max-images 40 --max-side 1600
  wxr report runs/ablation --photo rtts/AM_Bing_211.png --figure rows.pdf
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `report` to the `wxr` command."""
    summary = "write the tables and the HTML page of a benchmark"
    parser = add_command(subparsers, "report", summary, run, DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="folder written by `wxr benchmark`"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="output folder (default: FOLDER)"
    )
    parser.add_argument(
        "--max-images",
        type=int,
        default=MAX_IMAGES,
        metavar="N",
        help="photos to embed in the page, each with the results of all methods; 0 for none",
    )
    parser.add_argument(
        "--max-side",
        type=int,
        default=MAX_SIDE,
        metavar="PIXELS",
        help="longest side of embedded photos",
    )
    parser.add_argument(
        "--photo",
        metavar="SET/IMAGE",
        help="draw this photo by all methods next to each other, with its figures, into --figure",
    )
    parser.add_argument(
        "--figure",
        type=Path,
        metavar="FILE",
        help="file of --photo: .png, .jpg, .pdf or .svg; the report itself is not written again",
    )
    add_json(parser, "the paths of the files")


def run(args: argparse.Namespace) -> int:
    """Write the report and print its files."""
    if bool(args.photo) != bool(args.figure):
        raise WxrError("--photo names what --figure shows: give both, or neither")
    if args.photo:
        from wxr_plugin.benchmark.report.strip import write_strip

        write_strip(args.folder, args.photo, args.figure)
        if args.json:
            print_json({"figure": args.figure})
        else:
            print(args.figure)
        return 0
    from wxr_plugin.benchmark.report.write import LATEX, MARKDOWN, write_report

    page = write_report(args.folder, args.output, args.max_images, args.max_side)
    size = page.stat().st_size
    markdown, latex = page.with_name(MARKDOWN), page.with_name(LATEX)
    if args.json:
        print_json({"html": page, "bytes": size, "markdown": markdown, "latex": latex})
    else:
        print(f"{page} ({size / 1e6:.1f} MB), {markdown}, {latex}")
    return 0
