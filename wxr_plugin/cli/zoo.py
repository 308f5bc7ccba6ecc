"""`wxr zoo list`, `wxr zoo show`, `wxr zoo verify` and `wxr zoo convert`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wxr_plugin.errors import WxrError, plain

if TYPE_CHECKING:
    from wxr_plugin.zoo.recognise import Recognised
    from wxr_plugin.zoo.rows import Row

LIST_EXAMPLE = """example:
  wxr zoo list --task derain
"""
SHOW_EXAMPLE = """example:
  wxr zoo show restormer-derain
"""
VERIFY_EXAMPLE = """examples:
  wxr zoo verify deraining.pth
  wxr zoo verify experiments/pretrained_models/*.pth --json > found.json

exit code: 0 every file is recognised; 1 some file fits nothing; 2 some file cannot be read
"""
CONVERT_EXAMPLE = """examples:
  wxr zoo convert net_g_latest.pth net_g.safetensors
  wxr zoo convert net_g_latest.pth for_mmagic.pth --to mmagic
  wxr zoo convert work_dirs/mine/iter_10000.pth net_g.pth --to basicsr
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `zoo` to the `wxr` command."""
    style = argparse.RawDescriptionHelpFormatter
    parser = subparsers.add_parser(
        "zoo",
        help="published checkpoints: list, show, recognise; convert any",
        description="The published checkpoints that `wxr restore --method` knows. Nothing is fetched: a row says where "
        "the authors publish a file and what they permit.",
        epilog=LIST_EXAMPLE + SHOW_EXAMPLE.removeprefix("example:\n"),
        formatter_class=style,
    )
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="{list,show,verify,convert}"
    )
    listing = actions.add_parser(
        "list", help="a line for each", epilog=LIST_EXAMPLE, formatter_class=style
    )
    listing.add_argument(
        "--task", help="only this task: derain, dehaze, desnow, weather, all-in-one …"
    )
    listing.add_argument("--method", help="only this method: Restormer, NAFNet …")
    listing.add_argument("--json", action="store_true", help="everything, as JSON")
    listing.set_defaults(func=list_rows)
    show = actions.add_parser(
        "show", help="all of one, and how to use it", epilog=SHOW_EXAMPLE, formatter_class=style
    )
    show.add_argument("name", help="as `wxr zoo list` writes it")
    show.set_defaults(func=show_row)
    _add_verify(actions)
    _add_convert(actions)


def _add_convert(actions: argparse._SubParsersAction) -> None:
    convert = actions.add_parser(
        "convert",
        help="weights of BasicSR for MMagic, of MMagic for BasicSR, or as safetensors",
        description="Write the weights of one network in another container. The source may be any file of weights "
        "that `wxr restore` reads. What is written is read back and compared, number by number.",
        epilog=CONVERT_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    convert.add_argument("source", type=Path, help="file with the weights")
    convert.add_argument("target", type=Path, help="file to write: .pth, or .safetensors")
    convert.add_argument(
        "--to",
        choices=("basicsr", "mmagic", "safetensors"),
        help="basicsr: `params`; mmagic: `state_dict` with `generator.` before the names; told by .safetensors",
    )
    convert.add_argument(
        "--key",
        help="key of the source's weights: params, params_ema, …; the EMA where there is one",
    )
    convert.add_argument(
        "--opt", type=Path, help="option file whose network_g the weights have to fit"
    )
    convert.add_argument("--force", action="store_true", help="replace a target that is there")
    convert.set_defaults(func=convert_file)


def convert_file(args: argparse.Namespace) -> int:
    """Convert, and print what was written."""
    from wxr_plugin.zoo.convert import convert

    network = None
    if args.opt:
        from wxr_plugin.cli.restore import read_options

        network = dict(read_options(args.opt)["network_g"])
    done = convert(args.source, args.target, args.to, args.key, network, args.force)
    what = (
        f"for {done.network['type']}"
        if done.network
        else "for a network that the file does not name"
    )
    print(f"{args.target}: {done.tensors} tensors {what}, read back without a difference")
    if done.left_out:
        more = f" and {len(done.left_out) - 3} more" if len(done.left_out) > 3 else ""
        print(f"  left out, as no part of the network: {', '.join(done.left_out[:3])}{more}")
    return 0


def _add_verify(actions: argparse._SubParsersAction) -> None:
    verify = actions.add_parser(
        "verify",
        help="tell what a file of weights is for",
        description="Recognise checkpoints by the names and shapes of their weights: the method, the variants that "
        "fit, the key and the prefix under which the weights lie, whether it is the published "
        "file. No code of a file "
        "is run.",
        epilog=VERIFY_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verify.add_argument(
        "files",
        nargs="+",
        type=Path,
        help="checkpoints: .pth, .pt, .ckpt, .tar, .safetensors, .npz …",
    )
    verify.add_argument("--json", action="store_true", help="all that is known, as JSON")
    verify.set_defaults(func=verify_files)


def list_rows(args: argparse.Namespace) -> int:
    """Print the rows as a table or as JSON."""
    from wxr_plugin.zoo.files import available
    from wxr_plugin.zoo.rows import rows

    chosen = list(rows().values())
    for what in ("task", "method"):
        chosen = _only(chosen, what, getattr(args, what))
    if args.json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode([_plain(row) for row in chosen])).decode())
        return 0
    print_table(
        [
            (row.name, row.method, row.task, "yes" if available(row) else "", row.licence)
            for row in chosen
        ]
    )
    return 0


def print_table(lines: list[tuple[str, ...]]) -> None:
    """The table as wide as the terminal; whole lines where the output is no terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "method", "task", "file here", "licence", box=None, pad_edge=False)
    for line in lines:
        table.add_row(*line)
    console = Console()
    Console(width=None if console.is_terminal else 200).print(table)


def show_row(args: argparse.Namespace) -> int:
    """Print a row, and how it is used."""
    import msgspec
    import yaml

    from wxr_plugin.zoo.files import WEIGHTS
    from wxr_plugin.zoo.rows import find_row

    row = find_row(args.name)
    shown = {
        key: value
        for key, value in msgspec.to_builtins(_plain(row)).items()
        if value not in (None, (), [])
    }
    print(
        yaml.safe_dump(
            shown, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None
        ),
        end="",
    )
    print("\nto use it:")
    names = row.official or (f"{row.name}.pth",)
    extra = [
        name for name in (row.guide, "lm_instructir-7d.pt" if row.instruction else None) if name
    ]
    print(f"  fetch     {', '.join([*names, *extra])} from {row.source}")
    print(f"  put       {', '.join(str(WEIGHTS / name) for name in [*names, *extra])}")
    print(f"  restore   wxr restore PHOTOS -o restored --method {row.name}")
    if row.option:
        print(f"  train     wxr train -opt {row.option}")
    return 0


def verify_files(args: argparse.Namespace) -> int:
    """Print what each file is for; the exit code is that of the worst."""
    from wxr_plugin.zoo.recognise import recognise

    code, found = 0, []
    for path in args.files:
        try:
            if path.is_dir():
                raise WxrError(f"{path}: a folder; name the files in it")
            found.append(recognise(path))
        except (WxrError, OSError) as error:
            print(f"wxr zoo verify: {plain(error)}", file=sys.stderr)
            code = 2
            continue
        code = max(code, 0 if found[-1].known else 1)
        if not args.json:
            print(told(found[-1]))
    if args.json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    return code


def told(file: "Recognised") -> str:
    """What is known of a file, some lines."""
    lines = [
        f"{file.path}: {file.tensors} tensors, {file.parameters / 1e6:.2f} million numbers, sha256 "
        f"{file.sha256}"
    ]
    if file.other:
        return "\n".join([*lines, f"  {file.other}"])
    if file.stored:
        fit = "its weights fit" if file.stored_differs == "" else f"but {file.stored_differs}"
        lines.append(f"  stores network_g {file.stored}; {fit}")
    groups: dict[tuple, list[str]] = {}
    for match in file.matches:
        note = {True: " (the published file)", False: " (not the published file)", None: ""}[
            match.published
        ]
        where = (match.method, match.part, match.key, match.prefix, str(match.network))
        groups.setdefault(where, []).append(match.row + note)
    for (method, part, key, prefix, _), names in groups.items():
        what = f"is {part} of" if part else "fits"
        place = (
            ", ".join(filter(None, [key and f"key {key}", prefix and f"prefix {prefix}"]))
            or "a bare state dict"
        )
        lines.append(f"  {method}: {what} {', '.join(names)}; {place}")
    if file.matches and not file.matches[0].part:
        lines.append(
            f"  wxr restore PHOTOS -o restored --method {file.matches[0].row} --checkpoint "
            f"{file.path}"
        )
    if not file.known:
        near = f"closest is {file.closest}: " if file.closest else ""
        lines.append(f"  fits no network; {near}{file.closest_differs}")
    return "\n".join(lines)


def _only(chosen: "list[Row]", what: str, asked: str | None) -> "list[Row]":
    if asked is None:
        return chosen
    kept = [row for row in chosen if getattr(row, what).lower() == asked.lower()]
    if not kept:
        known = ", ".join(sorted({getattr(row, what) for row in chosen}))
        raise WxrError(f"--{what} {asked}: none; there are {known}")
    return kept


def _plain(row: "Row") -> dict:
    """A row and where its files lie, as JSON has it."""
    import msgspec

    from wxr_plugin.zoo.files import available

    return {**msgspec.to_builtins(row), "here": [str(path) for path in available(row)]}
