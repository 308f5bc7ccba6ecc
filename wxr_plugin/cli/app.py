"""`wxr app`: a local page to restore, rate, correct labels and compare methods blindly."""

import argparse
import socket
from pathlib import Path

from wxr_plugin.cli.parsers import add_command, add_device, add_offline
from wxr_plugin.errors import WxrError

DESCRIPTION = """
Open a page in the browser that restores dropped photos, rates the photos of a folder, shows and
corrects the pseudo-labels of a store, and asks a person which of two unnamed results is better.

The page is served to this machine alone, sends nothing elsewhere, and reads no folder but those of
--folder. It needs the extra "app".
"""
EXAMPLES = """examples:
  wxr app
  wxr app --folder photos/ --folder results/ --port 8000
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `app` to the `wxr` command."""
    summary = "open a page that restores, rates, corrects labels, and asks for comparisons"
    parser = add_command(subparsers, "app", summary, run, DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "--folder",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="folder that the page may read; repeat for several (default: none, only uploads)",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to serve; 0.0.0.0 shows the page to the network (default: this machine)",
    )
    parser.add_argument("--port", type=int, default=7860, metavar="N", help="port (default: 7860)")
    parser.add_argument(
        "--upload-mb", type=int, default=64, metavar="N", help="largest upload in megabytes"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="build the page and check the port; serve nothing"
    )
    add_device(parser)
    add_offline(parser)


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    if not 1 <= args.port <= 65535:
        raise WxrError(f"--port {args.port}: take 1 to 65535")
    if args.upload_mb < 1:
        raise WxrError(f"--upload-mb {args.upload_mb}: take 1 or more")
    from wxr_plugin.app.page import build, launch
    from wxr_plugin.app.settings import Settings

    settings = Settings(args.folder, args.device, args.upload_mb)
    blocks = build(settings)
    _check_port(args.host, args.port)
    address = f"http://{args.host}:{args.port}"
    if args.dry_run:
        print(f"the page would be at {address}")
        return 0
    print(f"the page is at {address}; Ctrl-C ends it", flush=True)
    launch(blocks, settings, args.host, args.port)
    return 0


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or error
            raise WxrError(
                f"{host}:{port} cannot be used ({reason}); --port names another"
            ) from error
