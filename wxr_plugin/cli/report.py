"""`wxr report`: the report of a benchmark."""

import argparse
from pathlib import Path

MAX_IMAGES, MAX_SIDE = 12, 1024
"""As in wxr_plugin.benchmark.report.write, which imports much more."""

EXAMPLE = """examples:
  wxr report runs/real_weather
  wxr report runs/real_weather -o paper/ --max-images 40 --max-side 1600
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `report` to the `wxr` command."""
    parser = subparsers.add_parser(
        "report",
        help="tables and a page of what a benchmark measured",
        description="Write report.html, report.md and report.tex of the benchmark in FOLDER, done or under way. The "
        "page is one file with its tables and some photos; of the other photos it links the files.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="what `wxr benchmark` wrote")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="folder for the files (default: FOLDER)"
    )
    images = f"photos that the page carries, each as every method made it; 0: none (default: {MAX_IMAGES})"
    parser.add_argument("--max-images", type=int, default=MAX_IMAGES, metavar="N", help=images)
    side = f"longest side of these, in pixels (default: {MAX_SIDE})"
    parser.add_argument("--max-side", type=int, default=MAX_SIDE, metavar="PIXELS", help=side)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Write the report and tell where."""
    from wxr_plugin.benchmark.report.write import LATEX, MARKDOWN, write_report

    page = write_report(args.folder, args.output, args.max_images, args.max_side)
    print(
        f"{page} ({page.stat().st_size / 1e6:.1f} MB), {page.with_name(MARKDOWN)}, "
        f"{page.with_name(LATEX)}"
    )
    return 0
