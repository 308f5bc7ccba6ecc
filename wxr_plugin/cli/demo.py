"""`wxr demo`: from photos to a report in some minutes."""

import argparse
from pathlib import Path

EXAMPLE = """example:
  wxr demo -o demo
  wxr demo -o demo --real my_photos/
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `demo` to the `wxr` command."""
    parser = subparsers.add_parser(
        "demo",
        help="train a small network with a vision-language model in the loop and show the result",
        description="Photos to LMDB, ratings, prompts, supervised and semi-supervised training, restoration, report. "
        "A second call skips what is done; a killed one goes on.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("demo"),
        help="folder for everything (default: demo)",
    )
    parser.add_argument(
        "--real", type=Path, help="your own weather photos; sub-folders rain, haze, snow are used"
    )
    parser.add_argument("--warmup", type=int, default=100, help="supervised iterations first")
    parser.add_argument("--iterations", type=int, default=150, help="iterations after that")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo, print its table and where the page is."""
    from wxr_plugin.demo import run as demo

    page = demo.run(
        args.output, args.real, demo.Settings(warmup=args.warmup, iterations=args.iterations)
    )
    print(f"\nOpen {page.resolve()}")
    return 0
