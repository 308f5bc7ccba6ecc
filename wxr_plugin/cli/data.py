"""`wxr data degradations`."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wxr_plugin.data.degradations.check import Found

EXAMPLE = """examples:
  wxr data degradations datasets/universal
  wxr data degradations datasets/universal --lmdb datasets/universal_lmdb
  wxr data degradations datasets/allweather --set allweather

ROOT holds {train,val}/<degradation>/{LQ,GT}, each side a folder or an LMDB (LQ.lmdb).
"""
MOST_SHOWN = 5


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `data` to the `wxr` command."""
    style = argparse.RawDescriptionHelpFormatter
    parser = subparsers.add_parser(
        "data", help="look over prepared sets", description="Look over prepared sets."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="{degradations}")
    check = actions.add_parser(
        "degradations",
        help="check a tree of degradations against a published benchmark",
        description="Check that every pair of each degradation is complete, of one size, and rightly named, and "
        "compare the counts with the published ones. Exit code 1 if anything is broken; counts "
        "that differ are said "
        "but do no harm.",
        epilog=EXAMPLE,
        formatter_class=style,
    )
    check.add_argument("root", help="folder of the splits train and val")
    which = "published counts: of DA-CLIP's ten degradations, or of All-weather (raindrop, rainy, snowy)"
    check.add_argument(
        "--set", choices=("universal", "allweather"), default="universal", help=which
    )
    check.add_argument(
        "--lmdb",
        metavar="OUT",
        help="then build an LMDB of every side below OUT, in the same layout",
    )
    check.add_argument(
        "--all",
        action="store_true",
        help=f"every broken pair, not the first {MOST_SHOWN} of each kind",
    )
    check.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the table and what is broken; 1 if anything is. Build LMDBs only of a sound tree."""
    from wxr_plugin.data.degradations.check import check_tree, strangers

    found = check_tree(args.root, args.set)
    print("\n".join(table(found)))
    print("\n".join(_totals(found, args.set)))
    for line in strangers(args.root):
        print(f"note: {line}")
    broken = [line for item in found for line in _shown(item.broken, args.all)]
    for line in broken:
        print(f"broken: {line}")
    print(_verdict(found))
    if args.lmdb and not broken:
        _build(Path(args.root).expanduser(), Path(args.lmdb).expanduser())
    return 1 if broken else 0


def table(found: "Sequence[Found]") -> list[str]:
    """Lines: split, degradation, pairs, published pairs, and what to do."""
    rows = [("split", "degradation", "pairs", "published", "")]
    rows += [
        (item.split, item.word, str(item.pairs), str(item.published), _said(item)) for item in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}  {row[4]}".rstrip()
        for row in rows
    ]


def _totals(found: "Sequence[Found]", name: str) -> Iterator[str]:
    """The pairs of each split whose total is published."""
    from wxr_plugin.data.degradations.words import BENCHMARKS

    for split, published in BENCHMARKS[name].total.items():
        pairs = sum(item.pairs for item in found if (item.split == "train") == (split == "train"))
        said = "as published" if pairs == published else f"{published} are published"
        yield f"total of {split}: {pairs} pairs, {said}"


def _said(item: "Found") -> str:
    if item.broken:
        return f"broken ({len(item.broken)})"
    if item.pairs == 0:
        return "not there: training takes the others"
    difference = item.pairs - item.published
    if difference == 0:
        return "as papers repeat" if item.is_quoted else "as published"
    count = f"{abs(difference)} {'fewer' if difference < 0 else 'more'}"
    if item.is_quoted:
        return f"{count} than papers repeat: see the total"
    return f"{count}: results are not those of the paper's set"


def _shown(lines: list[str], everything: bool) -> list[str]:
    rest = len(lines) - MOST_SHOWN
    return (
        lines
        if everything or rest <= 0
        else [*lines[:MOST_SHOWN], f"… and {rest} more; --all shows them"]
    )


def _verdict(found: "Sequence[Found]") -> str:
    counts = {
        split: sum(item.pairs for item in found if item.split == split)
        for split in ("train", "val")
    }
    wrong = sum(len(item.broken) for item in found)
    state = f"{wrong} things broken" if wrong else "sound"
    return f"{counts['train']} pairs to train, {counts['val']} to validate: {state}"


def _build(root: Path, out: Path) -> None:
    from wxr_plugin.data.degradations.check import sources
    from wxr_plugin.data.lmdb.build import build

    for folder in sources(root):
        target = out / folder.relative_to(root).with_name(f"{folder.name}.lmdb")
        result = build(folder, target, max_bad=0)
        print(
            f"{target} {'was built already and ' if result.already_built else ''}holds "
            f"{result.images} images"
        )
