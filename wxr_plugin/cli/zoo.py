"""`wxr zoo list`, `show`, `verify` and `convert`; `get` is in zoo_get.py."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wxr_plugin.cli.parsers import add_command, add_group
from wxr_plugin.cli.zoo_get import add_get
from wxr_plugin.errors import WxrError, plain
from wxr_plugin.utils.json_output import add_json, print_json
from wxr_plugin.utils.tables import print_pairs, print_table

if TYPE_CHECKING:
    from wxr_plugin.zoo.recognise import Match, Recognised
    from wxr_plugin.zoo.rows import Row

DESCRIPTION = """
List, fetch, identify and convert checkpoints. The zoo knows the published ones that `wxr restore
--method` takes, with their addresses and licences.
"""
EXAMPLES = """examples:
  wxr zoo list --task derain
  wxr zoo show restormer-derain
  wxr zoo get restormer-derain
  wxr zoo verify deraining.pth
  wxr zoo convert net_g_latest.pth net_g.safetensors
"""
LIST_EXAMPLES = """examples:
  wxr zoo list --task derain
  wxr zoo list --method Restormer --json
"""
SHOW_EXAMPLES = """example:
  wxr zoo show restormer-derain
"""
VERIFY = """
Identify checkpoints by the names and shapes of their weights: the method, the variants that fit,
the key and the prefix of the weights, and whether the file is the published one. Code in a file is
never run.

exit codes:
  0  every file was recognised
  1  a file fits no known network
  2  a file cannot be read
"""
VERIFY_EXAMPLES = """examples:
  wxr zoo verify deraining.pth
  wxr zoo verify experiments/pretrained_models/*.pth --json > recognised.json
"""
CONVERT = """
Convert the weights of one network to another file format. The source may be any file that
`wxr restore` reads. The written file is read back and compared with the source, value by value.
"""
CONVERT_EXAMPLES = """examples:
  wxr zoo convert net_g_latest.pth net_g.safetensors
  wxr zoo convert net_g_latest.pth for_mmagic.pth --to mmagic
  wxr zoo convert work_dirs/mine/iter_10000.pth net_g.pth --to basicsr
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `zoo` to the `wxr` command."""
    summary = "list, fetch, identify and convert checkpoints"
    actions = add_group(subparsers, "zoo", summary, DESCRIPTION, EXAMPLES)
    _add_list(actions)
    summary = "show a published checkpoint and how to use it"
    parser = add_command(actions, "show", summary, show_row, examples=SHOW_EXAMPLES)
    parser.add_argument("name", metavar="NAME", help="name printed by `wxr zoo list`")
    add_json(parser, "all fields")
    add_get(actions)
    _add_verify(actions)
    _add_convert(actions)


def _add_list(actions: argparse._SubParsersAction) -> None:
    summary = "list the published checkpoints"
    parser = add_command(actions, "list", summary, list_rows, examples=LIST_EXAMPLES)
    parser.add_argument(
        "--task",
        metavar="TASK",
        help="task to list: derain, dehaze, desnow, weather, all-in-one, ... (default: all)",
    )
    parser.add_argument(
        "--method", metavar="METHOD", help="method to list, such as Restormer (default: all)"
    )
    add_json(parser, "all fields")


def _add_verify(actions: argparse._SubParsersAction) -> None:
    summary = "identify the network and method of checkpoints"
    parser = add_command(actions, "verify", summary, verify_files, VERIFY, VERIFY_EXAMPLES)
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="checkpoint (.pth, .pt, .ckpt, .tar, .safetensors, .npz, ...)",
    )
    add_json(parser, "all fields")


def _add_convert(actions: argparse._SubParsersAction) -> None:
    summary = "convert weights between BasicSR, MMagic and safetensors"
    parser = add_command(actions, "convert", summary, convert_file, CONVERT, CONVERT_EXAMPLES)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="file with the weights")
    parser.add_argument(
        "target", type=Path, metavar="TARGET", help="file to write (.pth or .safetensors)"
    )
    parser.add_argument(
        "--to",
        choices=("basicsr", "mmagic", "safetensors"),
        help="format: basicsr (`params`), mmagic (`state_dict` with the prefix `generator.`) or "
        "safetensors (default: safetensors if TARGET ends in .safetensors)",
    )
    parser.add_argument(
        "--key",
        metavar="KEY",
        help="key of the weights in SOURCE, such as params (default: the EMA weights if present)",
    )
    parser.add_argument(
        "--opt",
        type=Path,
        metavar="FILE",
        help="option file whose network_g the weights must fit",
    )
    parser.add_argument("--force", action="store_true", help="overwrite TARGET if it exists")


def list_rows(args: argparse.Namespace) -> int:
    """Print the rows as a table or as JSON."""
    from wxr_plugin.zoo.places import available
    from wxr_plugin.zoo.rows import rows

    # The message about an unknown method names only those of the task.
    chosen = _filtered(list(rows().values()), "task", args.task)
    chosen = _filtered(chosen, "method", args.method)
    if args.json:
        print_json([_with_files(row) for row in chosen])
        return 0
    lines = []
    for row in chosen:
        here = "yes" if available(row) else ""
        lines.append((row.name, row.method, row.task, here, row.licence))
    print_table(["name", "method", "task", "file here", "licence"], lines)
    return 0


def _filtered(candidates: "list[Row]", field: str, value: str | None) -> "list[Row]":
    """Return the rows whose `field` is `value`, in any case; all rows for None."""
    if value is None:
        return candidates
    # Compared without case: methods are spelled as in their papers.
    chosen = [row for row in candidates if getattr(row, field).lower() == value.lower()]
    if not chosen:
        values = ", ".join(sorted({getattr(row, field) for row in candidates}))
        raise WxrError(f"--{field} {value}: none; there are {values}")
    return chosen


def show_row(args: argparse.Namespace) -> int:
    """Print a row as YAML, then the commands that use it; or its fields as JSON."""
    import yaml

    from wxr_plugin.zoo.places import WEIGHTS
    from wxr_plugin.zoo.rows import find_row

    row = find_row(args.name)
    if args.json:
        print_json(_with_files(row))
        return 0
    # Empty fields are left out.
    fields = _with_files(row).items()
    shown = {key: value for key, value in fields if value not in (None, (), [])}
    style = {"sort_keys": False, "allow_unicode": True, "width": 110, "default_flow_style": None}
    print(yaml.safe_dump(shown, **style), end="")

    # Files without an official name are searched by that of the row.
    files = [*(row.official or (f"{row.name}.pth",)), *row.further]
    uses = [
        ("fetch", f"wxr zoo get {row.name}"),
        ("or", f"{', '.join(files)} from {row.source}"),
        ("put", ", ".join(str(WEIGHTS / file) for file in files)),
        ("restore", f"wxr restore PHOTOS -o restored --method {row.name}"),
    ]
    if row.option:
        uses.append(("train", f"wxr train -opt {row.option}"))
    print()
    print_pairs(uses, "to use it:")
    return 0


def verify_files(args: argparse.Namespace) -> int:
    """Print what each file is; return the highest of their exit codes."""
    from wxr_plugin.hub import fetched_file
    from wxr_plugin.zoo.recognise import recognise

    code = 0
    recognised = []
    for path in args.files:
        try:
            if path.is_dir():
                raise WxrError(f"{path}: a folder; name the files in it")
            file = recognise(fetched_file(path))
        except (WxrError, OSError) as error:  # the other files are still identified
            print(f"wxr zoo verify: {plain(error)}", file=sys.stderr)
            code = 2
            continue
        recognised.append(file)
        if not file.known:
            code = max(code, 1)
        if not args.json:
            print(described(file))
    if args.json:
        print_json(recognised)
    return code


def described(file: "Recognised") -> str:
    """Return some lines about a file: its size, its own network, and the rows that it fits."""
    millions = file.parameters / 1e6
    size = f"{file.tensors} tensors, {millions:.2f} million parameters"
    lines = [f"{file.path}: {size}, sha256 {file.sha256}"]
    if file.other:
        return "\n".join([*lines, f"  {file.other}"])
    if file.stored:
        fit = "its weights fit" if file.stored_differs == "" else f"but {file.stored_differs}"
        lines.append(f"  stores network_g {file.stored}; {fit}")
    lines += _match_lines(file.matches)
    # A file that is only a part of a method cannot restore on its own.
    if file.matches and not file.matches[0].part:
        method = file.matches[0].row
        lines.append(f"  wxr restore PHOTOS -o restored --method {method} --checkpoint {file.path}")
    if not file.known:
        near = f"closest is {file.closest}: " if file.closest else ""
        lines.append(f"  fits no network; {near}{file.closest_differs}")
    return "\n".join(lines)


def _match_lines(matches: "list[Match]") -> list[str]:
    """Return one line for all rows that differ in nothing but their training."""
    # None: the hash of the published file is not known.
    notes = {True: " (the published file)", False: " (not the published file)", None: ""}
    groups: dict[tuple, list[str]] = {}
    for match in matches:
        # The network is a dict, which cannot be a key itself.
        group = (match.method, match.part, match.key, match.prefix, str(match.network))
        groups.setdefault(group, []).append(match.row + notes[match.published])
    lines = []
    for (method, part, key, prefix, _), names in groups.items():
        relation = f"is {part} of" if part else "fits"
        place = ", ".join(filter(None, [key and f"key {key}", prefix and f"prefix {prefix}"]))
        place = place or "a bare state dict"
        lines.append(f"  {method}: {relation} {', '.join(names)}; {place}")
    return lines


def convert_file(args: argparse.Namespace) -> int:
    """Convert the weights, and print what was written and what was left out."""
    from wxr_plugin.hub import fetched_file
    from wxr_plugin.utils.wording import listed
    from wxr_plugin.zoo.convert import convert

    network = None
    if args.opt:
        from wxr_plugin.options.files import load_with_network

        network = dict(load_with_network(args.opt)["network_g"])
    source = fetched_file(args.source)
    result = convert(source, args.target, args.to, args.key, network, args.force)
    # Only our own files and those of MMEngine name their network.
    owner = "a network that the file does not name"
    if result.network:
        owner = result.network["type"]
    print(f"{args.target}: {result.tensors} tensors for {owner}, read back without a difference")
    if result.left_out:
        print(f"  left out, as no part of the network: {listed(result.left_out)}")
    return 0


def _with_files(row: "Row") -> dict:
    """Return the fields of a row and the paths of its files as plain values."""
    import msgspec

    from wxr_plugin.zoo.places import available

    return {**msgspec.to_builtins(row), "here": [str(path) for path in available(row)]}
