"""`wxr data degradations`: a prepared tree of degradations against a published benchmark."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wxr_plugin.cli.parsers import add_command, add_group
from wxr_plugin.utils.json_output import add_json, json_result
from wxr_plugin.utils.tables import print_table

if TYPE_CHECKING:
    from wxr_plugin.data.degradations.check import DegradationCheck

MOST_SHOWN = 5
"""Problems of a degradation that are printed without --all."""

DESCRIPTION = """
Check that the pairs of each degradation are complete, equal in size and correctly named, and
compare their numbers with the published ones. Exit code 1 if a pair is broken; a number that
differs is reported only.

ROOT holds {train,val}/<degradation>/{LQ,GT}; each LQ and GT is a folder or an LMDB (LQ.lmdb).
"""
EXAMPLES = """examples:
  wxr data degradations datasets/universal
  wxr data degradations datasets/universal --lmdb datasets/universal_lmdb
  wxr data degradations datasets/allweather --set allweather
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `data` to the `wxr` command."""
    actions = add_group(subparsers, "data", "check prepared datasets", examples=EXAMPLES)
    summary = "check a tree of degradations against a published benchmark"
    parser = add_command(actions, "degradations", summary, run, DESCRIPTION, EXAMPLES)
    parser.add_argument("root", metavar="ROOT", help="folder that holds train and val")
    parser.add_argument(
        "--set",
        choices=("universal", "allweather"),
        default="universal",
        help="benchmark to compare with: DA-CLIP's ten degradations, or All-weather (raindrop, "
        "rainy, snowy)",
    )
    parser.add_argument(
        "--lmdb",
        metavar="OUT",
        help="build an LMDB of every LQ and GT folder below OUT, unless a pair is broken",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help=f"print every broken pair (default: {MOST_SHOWN} of each degradation)",
    )
    add_json(parser, "all numbers and broken pairs")


def run(args: argparse.Namespace) -> int:
    """Print the table and the broken pairs; return 1 if there are any, else build the LMDBs."""
    from wxr_plugin.data.degradations.check import check_tree, strangers

    with json_result(args.json) as result:
        entries = check_tree(args.root, args.set)
        notes = list(strangers(args.root))
        _print_table(entries)
        print(*_totals(entries, args.set), sep="\n")
        for line in notes:
            print(f"note: {line}")
        for entry in entries:
            for line in _shown(entry.broken, args.all):
                print(f"broken: {line}")
        print(_verdict(entries))
        is_broken = any(entry.broken for entry in entries)
        # An LMDB of broken pairs would only hide the problem.
        if args.lmdb and not is_broken:
            _build(Path(args.root).expanduser(), Path(args.lmdb).expanduser())
        result.update(degradations=[_values(entry) for entry in entries], notes=notes)
    return 1 if is_broken else 0


def _print_table(entries: "Sequence[DegradationCheck]") -> None:
    """Print a line for each degradation: split, name, pairs, published pairs and comment."""
    rows = []
    for entry in entries:
        counts = str(entry.pairs), str(entry.published)
        rows.append((entry.split, entry.word, *counts, _comment(entry)))
    numbers = ("pairs", "published")
    print_table(["split", "degradation", *numbers, ""], rows, numbers=numbers)


def _values(entry: "DegradationCheck") -> dict[str, Any]:
    """Return the check of a degradation for JSON."""
    return {
        "split": entry.split,
        "degradation": entry.word,
        "pairs": entry.pairs,
        "published": entry.published,
        "comment": _comment(entry),
        "broken": entry.broken,
    }


def _totals(entries: "Sequence[DegradationCheck]", name: str) -> Iterator[str]:
    """Yield a line for each split whose total is published."""
    from wxr_plugin.data.degradations.words import BENCHMARKS

    for split, published in BENCHMARKS[name].total.items():
        is_train = split == "train"
        pairs = sum(entry.pairs for entry in entries if (entry.split == "train") == is_train)
        comparison = "as published" if pairs == published else f"{published} published"
        yield f"total of {split}: {pairs} pairs, {comparison}"


def _comment(entry: "DegradationCheck") -> str:
    if entry.broken:
        return f"broken ({len(entry.broken)})"
    if entry.pairs == 0:
        return "missing: training uses the others"
    # Counts of All-weather are quoted: papers repeat them, but they do not add up to the total.
    difference = entry.pairs - entry.published
    if difference == 0:
        return "as quoted in papers" if entry.is_quoted else "as published"
    count = f"{abs(difference)} {'fewer' if difference < 0 else 'more'}"
    if entry.is_quoted:
        return f"{count} than quoted in papers: see the total"
    return f"{count}: results will differ from those of the paper's set"


def _shown(lines: list[str], everything: bool) -> list[str]:
    rest = len(lines) - MOST_SHOWN
    if everything or rest <= 0:
        return lines
    return [*lines[:MOST_SHOWN], f"… and {rest} more; --all shows them"]


def _verdict(entries: "Sequence[DegradationCheck]") -> str:
    train = sum(entry.pairs for entry in entries if entry.split == "train")
    val = sum(entry.pairs for entry in entries if entry.split == "val")
    problems = sum(len(entry.broken) for entry in entries)
    state = f"{problems} broken" if problems else "sound"
    return f"{train} pairs to train, {val} to validate: {state}"


def _build(root: Path, out: Path) -> None:
    from wxr_plugin.data.degradations.check import sources
    from wxr_plugin.data.lmdb.build import build

    for folder in sources(root):
        target = out / folder.relative_to(root).with_name(f"{folder.name}.lmdb")
        # No bad file is tolerated: one that is left out would break its pair.
        result = build(folder, target, max_bad=0)
        state = "was built already and holds" if result.already_built else "holds"
        print(f"{target} {state} {result.images} images")
