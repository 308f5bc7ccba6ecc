"""`wxr hub push`: publish a network on the Hugging Face hub."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wxr_plugin.cli.parsers import add_command, add_group, add_offline
from wxr_plugin.errors import WxrError

if TYPE_CHECKING:
    from wxr_plugin.publishing.folder import Settings
    from wxr_plugin.publishing.sources import Source

DESCRIPTION = """
Publish networks on the Hugging Face hub. What is there is used by its reference,
hf://OWNER/NAME[@REVISION][/FILE], wherever a checkpoint, a rater, a CLIP or a file of prompts is
named; `wxr models get` fetches it ahead.
"""
PUSH = """
Write a network as a repository and send it to the hub in one commit: model.safetensors and
config.json, which load without anything else, the option file without paths (recipe.yml), and a
model card with recipe, data, validation, pictures and licence. Files of prompts, DA-CLIPs, and the
folders of raters and CLIPs are sent as they are.

The token is that of `hf auth login`, or HF_TOKEN. HF_ENDPOINT and proxies are respected.

exit codes:
  0  the files are on the hub, or in the folder with --dry-run
  2  nothing was sent
"""
EXAMPLES = """examples:
  wxr hub push experiments/rain me/rain --licence mit --dry-run
  wxr hub push experiments/rain me/rain --licence mit --photo rain.jpg
  wxr hub push net_g_latest.pth me/rain --opt rain.yml --private --revision v2
  wxr hub push prompts.safetensors me/prompts
  wxr restore holiday/ -o restored/ --checkpoint hf://me/rain
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `hub` to the `wxr` command."""
    summary = "publish a network on the Hugging Face hub"
    actions = add_group(subparsers, "hub", summary, DESCRIPTION, EXAMPLES)
    summary = "write a network as a repository and send it"
    parser = add_command(actions, "push", summary, push, PUSH, EXAMPLES)
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="checkpoint, experiments/NAME (net_g_best.pth, else net_g_latest.pth), tiny, small, "
        "file of prompts, DA-CLIP, or folder of a model of transformers or open_clip",
    )
    parser.add_argument("repo", metavar="OWNER/NAME", help="repository; created if necessary")
    parser.add_argument("--private", action="store_true", help="create a private repository")
    parser.add_argument("--revision", metavar="BRANCH", help="branch (default: main)")
    parser.add_argument(
        "--dry-run", action="store_true", help="write the folder and list its files; send nothing"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FOLDER",
        help="keep the folder here (default with --dry-run: hub/NAME)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files of the repository without asking"
    )
    parser.add_argument("--message", metavar="TEXT", help="message of the commit")
    _add_card(parser.add_argument_group("model card"))
    add_offline(parser)


def _add_card(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--licence",
        "--license",
        metavar="NAME",
        help="identifier of the licence of the weights, such as mit (default: not stated)",
    )
    group.add_argument(
        "--photo",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="photo to show before and after restoration; repeat for several",
    )
    group.add_argument(
        "--benchmark", type=Path, metavar="FOLDER", help="folder of a benchmark; shows its table"
    )
    group.add_argument(
        "--opt",
        type=Path,
        metavar="FILE",
        help="option file of a checkpoint outside experiments/NAME",
    )
    group.add_argument(
        "--guide",
        metavar="MODEL",
        help="guide on the hub, in place of a local one that the checkpoint names",
    )


def push(args: argparse.Namespace) -> int:
    """Write the folder and send it, unless it is a dry run; return 0."""
    from wxr_plugin.publishing.card import checked_licence
    from wxr_plugin.publishing.folder import Settings
    from wxr_plugin.publishing.sources import find_source
    from wxr_plugin.publishing.upload import checked_repo

    repo = checked_repo(args.repo)
    licence = checked_licence(args.licence)
    source = find_source(args.source, args.opt)
    settings = Settings(repo, licence, args.guide, args.benchmark, args.photo)
    if args.dry_run or args.output:
        return _push(args, source, settings, args.output or Path("hub") / repo.rpartition("/")[2])
    with tempfile.TemporaryDirectory() as temporary:
        return _push(args, source, settings, Path(temporary) / "repository")


def _push(args: argparse.Namespace, source: "Source", settings: "Settings", target: Path) -> int:
    from wxr_plugin.publishing.folder import write_folder

    folder = write_folder(source, settings, target)
    _print_files(folder)
    if settings.licence is None:
        print("no licence is stated; add --licence mit, or another one", file=sys.stderr)
    if args.dry_run:
        visibility = " (private)" if args.private else ""
        branch = f", branch {args.revision}" if args.revision else ""
        print(f"would be sent to hf://{settings.repo}{branch}{visibility}; now in {folder}")
        return 0
    reference = _send(args, folder, settings.repo)
    if source.kind == "restorer":
        print(f"wxr restore PHOTOS -o OUT --checkpoint {reference}")
    return 0


def _print_files(folder: Path) -> None:
    from wxr_plugin.utils.disk import readable

    for path in sorted(folder.rglob("*")):
        if path.is_file():
            print(f"{path.relative_to(folder)}: {readable(path.stat().st_size)}")


def _send(args: argparse.Namespace, folder: Path, repo: str) -> str:
    """Send the folder, print the commit, and return the reference of the branch."""
    from wxr_plugin.hub.failures import endpoint
    from wxr_plugin.publishing.upload import MESSAGE, Upload, push_folder

    private = True if args.private else None
    upload = Upload(repo, args.revision, private, None, args.message or MESSAGE)

    def may_replace(names: Sequence[str]) -> bool:
        return args.overwrite or _ask(names, repo)

    reference = push_folder(folder, upload, may_replace)
    print(f"{endpoint()}/{repo}: commit {reference.revision}")
    return str(reference._replace(revision=args.revision))


def _ask(names: Sequence[str], repo: str) -> bool:
    files = ", ".join(names)
    if not sys.stdin.isatty():
        raise WxrError(f"hf://{repo}: has {files} already; add --overwrite to replace them")
    print(f"Replace {files} of hf://{repo}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
