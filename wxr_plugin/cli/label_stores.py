"""`wxr label merge`, `export` and `import`: label stores as a whole."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wxr_plugin.cli.parsers import add_command
from wxr_plugin.utils.files import check_parents
from wxr_plugin.utils.json_output import add_json, json_result
from wxr_plugin.utils.plans import add_dry_run, print_plan

if TYPE_CHECKING:
    from wxr_plugin.labels.merging import Merged

MERGE = """
Merge label stores, such as those of all shards, into one. Equal answers become one row, and an
answer replaces a failure. If answers of the same image and model differ, they are listed, nothing
is written, and the exit code is 1. An existing NEW is extended; merging again changes nothing.
"""
MERGE_EXAMPLES = """examples:
  wxr label merge photos.labels.*-of-4.lmdb -o photos.labels.lmdb
  wxr label merge a.lmdb b.lmdb -o all.lmdb --prefer last
"""


def add_parsers(actions: argparse._SubParsersAction) -> None:
    """Add the commands to `wxr label`."""
    summary = "merge label stores, such as those of shards"
    parser = add_command(actions, "merge", summary, run_merge, MERGE, MERGE_EXAMPLES)
    parser.add_argument("stores", nargs="+", type=Path, metavar="STORE", help="label stores")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="NEW", help="label store to write"
    )
    parser.add_argument(
        "--prefer",
        choices=("first", "last"),
        help="of different answers take that of the first or last store; an existing NEW is first",
    )
    add_dry_run(parser)
    add_json(parser, "the counts and conflicts, or the plan,")


def run_merge(args: argparse.Namespace) -> int:
    """Merge the stores; return 1 if answers differ and nothing was written."""
    from wxr_plugin.labels.merging import MergeConflictError, merge_stores, planned_merge

    check_parents(args.output)
    if args.dry_run:
        merged = planned_merge(args.stores, args.output, args.prefer)
        print_plan(_counts(merged, args.output), args.json)
        return 1 if merged.conflicts and not args.prefer else 0
    with json_result(args.json) as result:
        try:
            merged = merge_stores(args.stores, args.output, args.prefer)
        except MergeConflictError as error:
            merged = error.merged
            _print_conflicts(merged)
            print(f"{args.output}: not written; --prefer first or last takes one of each")
            result.update(_counts(merged, args.output), new=0)
            return 1
        _print_conflicts(merged)
        rows = ", ".join(f"{count} {kind}" for kind, count in merged.rows.items()) or "no rows"
        print(f"{args.output}: {rows}; {merged.new} of them new")
        result.update(_counts(merged, args.output))
    return 0


def _print_conflicts(merged: "Merged") -> None:
    for conflict in merged.listed:
        print(f"conflict: {conflict}")
    further = merged.conflicts - len(merged.listed)
    if further:
        print(f"… and {further} further conflicts")


def _counts(merged: "Merged", output: Path) -> dict[str, Any]:
    """Return the counts of a merge as plain values."""
    return {
        "store": output,
        "rows": merged.rows,
        "new": merged.new,
        "conflicts": merged.conflicts,
        "listed": [str(conflict) for conflict in merged.listed],
    }
