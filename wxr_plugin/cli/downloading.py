"""Download of published weights from the command line: licences, progress and failures."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wxr_plugin.cli.parsers import Run
from wxr_plugin.errors import WxrError

if TYPE_CHECKING:
    from wxr_plugin.zoo.rows import Row


def add_licence(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add `--accept-licence` and `--mirrors`."""
    parser.add_argument(
        "--accept-licence",
        action="store_true",
        help="accept the licences of the files to download, instead of being asked",
    )
    parser.add_argument(
        "--mirrors",
        type=Path,
        metavar="FILE",
        help="YAML table of mirrors, beginning of an address: replacement (default: WXR_MIRRORS)",
    )


def add_download(parser: argparse.ArgumentParser | argparse._ArgumentGroup, what: str) -> None:
    """Add `--download` for the weights of `what`, and the options that go with it."""
    parser.add_argument(
        "--download",
        action="store_true",
        help=f"download the weights of {what} if they are not here; without it nothing is fetched",
    )
    add_licence(parser)


def after_download(run: Run, names: Callable[[argparse.Namespace], list[str]]) -> Run:
    """Return the function of a command that first downloads what `--download` asks for.

    Args:
        run: the function of the command, which treats a file that did not arrive as missing.
        names: arguments -> published methods whose files are fetched.
    """

    def downloaded(args: argparse.Namespace) -> int | None:
        _check_download(args)
        if args.download:
            _download(names(args), args)
        return run(args)

    return downloaded


def _check_download(args: argparse.Namespace) -> None:
    """Raise WxrError if options of `--download` are given without it."""
    for flag, value in (("--accept-licence", args.accept_licence), ("--mirrors", args.mirrors)):
        if value and not args.download:
            raise WxrError(f"{flag} has no effect without --download")


def _download(names: list[str], args: argparse.Namespace) -> None:
    from wxr_plugin.zoo.places import WEIGHTS
    from wxr_plugin.zoo.rows import find_row

    rows = [find_row(name) for name in names]
    for failure in get_rows(rows, WEIGHTS, args.accept_licence, args.mirrors):
        print(f"wxr {args.command}: {failure}", file=sys.stderr)


def get_rows(
    rows: Sequence["Row"], folder: Path, accept: bool, mirrors: Path | None = None
) -> list[str]:
    """Fetch the missing files of `rows` into `folder`; return a line for each that failed.

    A line for each file that arrives is printed to stderr.

    Raises:
        WxrError: a licence is not accepted, nothing may be fetched, or the table of mirrors is
            wrong.
    """
    from wxr_plugin.utils.disk import readable
    from wxr_plugin.zoo.download.hosts import Transfer
    from wxr_plugin.zoo.download.mirrors import read_mirrors
    from wxr_plugin.zoo.download.obtain import obtain
    from wxr_plugin.zoo.download.rows import missing_files, refuse_offline

    missing = missing_files(rows, folder)
    refuse_offline(missing)
    transfer = Transfer(read_mirrors(mirrors))
    available = [wanted for wanted in missing if wanted.addresses]
    accept_all([wanted.row for wanted in available], folder, accept)
    failures = []
    for wanted in missing:
        try:
            path = obtain(wanted, folder, transfer)
        except WxrError as error:  # the other files are still fetched
            failures.append(str(error))
            continue
        size = readable(path.stat().st_size)
        known = "as published" if wanted.sha256 else "recorded"
        print(f"{path}: {size}, fits {wanted.row.name}, SHA-256 {known}", file=sys.stderr)
    return failures + _get_models([wanted.row for wanted in available], folder)


def _get_models(rows: Iterable["Row"], folder: Path) -> list[str]:
    """Fetch the models of the hub that `rows` need; return a line for each that failed."""
    from wxr_plugin.zoo.download.rows import obtain_models

    failures = []
    for row in {row.method: row for row in rows}.values():
        try:
            obtain_models(row, folder)
        except WxrError as error:
            failures.append(str(error))
    return failures


def accept_all(rows: Iterable["Row"], folder: Path, accept: bool) -> None:
    """Show the licences that were never accepted for `folder`, and ask once for all of them.

    Raises:
        WxrError: they are not accepted, or nobody can be asked.
    """
    from wxr_plugin.zoo.download.licences import accept_licences, open_licences

    rows = list(rows)
    unaccepted = open_licences(rows, folder)
    for method, row in unaccepted.items():
        print(f"{method}: {row.licence} ({row.source})", file=sys.stderr)
    if unaccepted and not accept:
        _ask(list(unaccepted))
    accept_licences(rows, folder)


def _ask(methods: list[str]) -> None:
    names = ", ".join(methods)
    if not sys.stdin.isatty():
        raise WxrError(f"the licence of {names} is not accepted; read it and add --accept-licence")
    print(f"Accept the licence of {names}? [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip().lower()
    if answer not in ("y", "yes"):
        raise WxrError(f"the licence of {names} was not accepted; nothing was fetched")
