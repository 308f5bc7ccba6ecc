"""`wxr zoo get`: fetch the published weights of methods."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wxr_plugin.cli.downloading import add_licence, get_rows
from wxr_plugin.cli.parsers import add_command, add_offline
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.json_output import add_json, print_json
from wxr_plugin.utils.plans import check_json
from wxr_plugin.utils.tables import print_pairs
from wxr_plugin.utils.wording import plural

if TYPE_CHECKING:
    from wxr_plugin.zoo.download.addresses import WantedFile
    from wxr_plugin.zoo.rows import Row

DESCRIPTION = """
Fetch published weights from where their authors put them: releases, the Hugging Face hub, Google
Drive (with the extra `download`), or the web. The licence is shown and asked for once. A transfer
that was cut continues; a file gets its name only after its size, its SHA-256 and its weights were
checked.

HF_ENDPOINT, http_proxy, https_proxy and no_proxy are respected.

exit codes:
  0  every file is here
  1  some files did not arrive; the reasons are listed at the end
  2  nothing could be done
"""
EXAMPLES = """examples:
  wxr zoo get restormer-derain
  wxr zoo get prenet-rain100h gcanet-derain --accept-licence
  wxr zoo get --all-of desnow --dry-run
"""


def add_get(actions: argparse._SubParsersAction) -> None:
    """Add `get` to `wxr zoo`."""
    summary = "fetch the published weights of methods"
    parser = add_command(actions, "get", summary, run, DESCRIPTION, EXAMPLES)
    parser.add_argument("names", nargs="*", metavar="NAME", help="name printed by `wxr zoo list`")
    parser.add_argument(
        "--all-of", metavar="TASK", help="also all methods of a task, such as derain"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="FOLDER",
        help="folder to put the files into (default: experiments/pretrained_models)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print addresses, sizes and licences; connect to nothing",
    )
    add_json(parser, "the plan of --dry-run")
    add_licence(parser)
    add_offline(parser)


def run(args: argparse.Namespace) -> int:
    """Fetch what is missing; return 1 if some of it did not arrive."""
    from wxr_plugin.zoo.places import WEIGHTS

    rows = named_rows(args.names, args.all_of)
    folder = args.folder.expanduser() if args.folder else WEIGHTS
    check_json(args)
    if args.dry_run:
        plan = planned(rows, folder)
        print_json(plan) if args.json else print_plan(plan)
        return 0
    print_present(rows, folder)
    failures = get_rows(rows, folder, args.accept_licence, args.mirrors)
    for failure in failures:
        print(f"wxr zoo get: {failure}", file=sys.stderr)
    return 1 if failures else 0


def named_rows(names: list[str], task: str | None) -> "list[Row]":
    """Return the rows of these names, and those of a task.

    Raises:
        WxrError: there is no such row or task, or nothing is named.
    """
    from wxr_plugin.zoo.rows import find_row, rows

    chosen = [find_row(name) for name in names]
    if task:
        of_task = [row for row in rows().values() if row.task == task]
        if not of_task:
            tasks = ", ".join(sorted({row.task for row in rows().values()}))
            raise WxrError(f"--all-of {task}: none; there are {tasks}")
        chosen += of_task
    if not chosen:
        raise WxrError("nothing to get: name a method (`wxr zoo list`), or a task with --all-of")
    return list({row.name: row for row in chosen}.values())


def print_present(rows: "list[Row]", folder: Path) -> None:
    """Print a line for each row whose files are here, after comparing them with their record."""
    from wxr_plugin.zoo.download.addresses import wanted_files
    from wxr_plugin.zoo.download.obtain import check_recorded
    from wxr_plugin.zoo.places import existing

    for row in rows:
        files = [existing(row, wanted.name, folder) for wanted in wanted_files(row)]
        present = [file for file in files if file]
        for file in present:
            check_recorded(file, folder)
        if len(present) == len(files):
            print(f"{row.name}: {', '.join(map(str, present))} (here)")


def planned(rows: "list[Row]", folder: Path) -> dict[str, list]:
    """Return what `wxr zoo get` would fetch, from where, and under which licence."""
    from wxr_plugin.zoo.download.addresses import hub_models
    from wxr_plugin.zoo.download.rows import missing_files

    missing = missing_files(rows, folder)
    models = {model for wanted in missing for model in hub_models(wanted.row)}
    return {"files": [_values(wanted, folder) for wanted in missing], "models": sorted(models)}


def _values(wanted: "WantedFile", folder: Path) -> dict[str, Any]:
    return {
        "name": wanted.name,
        "row": wanted.row.name,
        "method": wanted.row.method,
        "size": wanted.size,
        "licence": wanted.row.licence,
        "to": folder / wanted.target,
        "sha256": wanted.sha256,
        "from": [str(address) for address in wanted.addresses],
        "ask": wanted.ask,
    }


def print_plan(plan: dict[str, list]) -> None:
    """Print some lines about each file to fetch, then the models of the hub."""
    for file in plan["files"]:
        _print_file(file)
    for model in plan["models"]:
        print(f"{model}: model of the Hugging Face hub, into its cache")
    sizes = [file["size"] for file in plan["files"] if file["size"]]
    print(f"{plural(len(plan['files']), 'file')} to fetch, {len(sizes)} of known size")


def _print_file(file: dict[str, Any]) -> None:
    from wxr_plugin.utils.disk import readable

    size = readable(file["size"]) if file["size"] else "size unknown"
    pairs = [
        ("licence", file["licence"]),
        ("to", str(file["to"])),
        ("sha256", file["sha256"] or "unknown; recorded when the file arrives"),
        *(("from", address) for address in file["from"]),
    ]
    if not file["from"]:
        pairs.append(("ask", f"{file['ask']} (published nowhere)"))
    print_pairs(pairs, f"{file['name']}: {file['method']}, {size}")
