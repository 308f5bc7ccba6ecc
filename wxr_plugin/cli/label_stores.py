"""`wxr label merge`, `export`, `import` and `report`: label stores as a whole."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wxr_plugin.cli.parsers import add_command
from wxr_plugin.utils.files import check_file, check_parents
from wxr_plugin.utils.json_output import add_json, json_result, print_json
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
EXPORT = """
Write a label store to a Parquet file, without loss: images of pseudo-labels and provenances
included. It needs the extra `parquet`.
"""
EXPORT_EXAMPLES = """example:
  wxr label export photos.labels.lmdb -o labels.parquet
"""
IMPORT = """
Add the rows of Parquet files, which `wxr label export` wrote, to a label store. Files are merged as
`wxr label merge` merges stores; importing again changes nothing. It needs the extra `parquet`.
"""
IMPORT_EXAMPLES = """examples:
  wxr label import labels.parquet -o photos.labels.lmdb
  wxr label import parts/*.parquet -o photos.labels.lmdb --prefer last
"""
REPORT_EXAMPLES = """examples:
  wxr label report photos.labels.lmdb
  wxr label report photos.labels.lmdb --json | jq '.[] | select(.kind == "failure")'
"""


def add_parsers(actions: argparse._SubParsersAction) -> None:
    """Add the commands to `wxr label`."""
    _add_merge(actions)
    _add_export(actions)
    _add_import(actions)
    _add_report(actions)


def _add_merge(actions: argparse._SubParsersAction) -> None:
    summary = "merge label stores, such as those of shards"
    parser = add_command(actions, "merge", summary, run_merge, MERGE, MERGE_EXAMPLES)
    parser.add_argument("stores", nargs="+", type=Path, metavar="STORE", help="label stores")
    _add_target(parser)
    add_dry_run(parser)
    add_json(parser, "the counts and conflicts, or the plan,")


def _add_export(actions: argparse._SubParsersAction) -> None:
    summary = "write a label store to a Parquet file"
    parser = add_command(actions, "export", summary, run_export, EXPORT, EXPORT_EXAMPLES)
    parser.add_argument("store", type=Path, metavar="STORE", help="label store")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE.parquet", help="file to write"
    )
    add_json(parser, "the number of rows")


def _add_import(actions: argparse._SubParsersAction) -> None:
    summary = "add the rows of Parquet files to a label store"
    parser = add_command(actions, "import", summary, run_import, IMPORT, IMPORT_EXAMPLES)
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE.parquet", help="files of `wxr label export`"
    )
    _add_target(parser)
    add_json(parser, "the counts and conflicts")


def _add_report(actions: argparse._SubParsersAction) -> None:
    summary = "count the rows of a label store by kind and model"
    parser = add_command(actions, "report", summary, run_report, examples=REPORT_EXAMPLES)
    parser.add_argument("store", type=Path, metavar="STORE", help="label store")
    add_json(parser, "the counts")


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="NEW", help="label store to write"
    )
    parser.add_argument(
        "--prefer",
        choices=("first", "last"),
        help="of different answers take that of the first or last store; an existing NEW is first",
    )


def run_merge(args: argparse.Namespace) -> int:
    """Merge the stores; return 1 if answers differ and nothing was written."""
    from wxr_plugin.labels.merging import merge_stores, planned_merge

    check_parents(args.output)
    if args.dry_run:
        merged = planned_merge(args.stores, args.output, args.prefer)
        print_plan(_counts(merged, args.output), args.json)
        return 1 if merged.conflicts and not args.prefer else 0
    return _report(args, lambda: merge_stores(args.stores, args.output, args.prefer))


def run_export(args: argparse.Namespace) -> int:
    """Write the store to a Parquet file; return 0."""
    from wxr_plugin.labels.parquet import export_store

    check_file(args.output)
    with json_result(args.json) as result:
        count = export_store(args.store, args.output)
        print(f"wrote {count} rows to {args.output}")
        result.update(file=args.output, rows=count)
    return 0


def run_import(args: argparse.Namespace) -> int:
    """Add the rows of Parquet files to the store; return 1 if nothing was written."""
    from wxr_plugin.labels.parquet import import_files

    check_parents(args.output)
    return _report(args, lambda: import_files(args.files, args.output, args.prefer))


def run_report(args: argparse.Namespace) -> int:
    """Print the number of rows, and the mean rating, of each kind and model; return 0."""
    from wxr_plugin.labels.store import LabelStore
    from wxr_plugin.labels.summary import print_summary, summary

    with LabelStore(args.store, readonly=True) as store:
        groups = summary(store)
    if args.json:
        print_json(groups)
    else:
        print_summary(groups)
    return 0


def _report(args: argparse.Namespace, merge: Callable[[], "Merged"]) -> int:
    """Merge, and print the counts and conflicts; return 1 if answers differ."""
    from wxr_plugin.labels.merging import MergeConflictError

    with json_result(args.json) as result:
        try:
            merged = merge()
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
