"""`wxr models get` and `list`: models of raters, guides and metrics, and their caches."""

import argparse
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from wxr_plugin.cli.parsers import add_command, add_group, add_offline
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.json_output import add_json, print_json
from wxr_plugin.utils.tables import print_table

if TYPE_CHECKING:
    from wxr_plugin.conditioning.prefetching import Prefetch

DESCRIPTION = """
Fetch the models that raters, describers, rewriters, guides and metrics load by name, into the
caches that transformers, open_clip and pyiqa read at run time. After that they work with --offline.
"""
GET = """
Fetch models by name: vision-language and language models (llava-1.5-7b, qwen3-4b), Depth Anything
(depth-anything-small), metrics of pyiqa (musiq, lpips), CLIPs of open_clip (ViT-B-32:openai) and
any model of the Hugging Face hub (OWNER/NAME, hf://OWNER/NAME@REVISION, or hf://OWNER/NAME/FILE for
one file). Models that are cached are not fetched again.

HF_ENDPOINT, HF_HOME, TORCH_HOME, http_proxy and https_proxy are respected.

exit codes:
  0  every model is cached
  1  some models could not be fetched; the reasons are listed
  2  a name is unknown, and nothing was fetched
"""
EXAMPLES = """examples:
  wxr models get llava-1.5-7b musiq depth-anything
  wxr models get ViT-B-32:openai lpips --dry-run
"""
LIST = """
List the models that `wxr models get` knows by name: vision-language and language models, depth
encoders, and the metrics of pyiqa. Names of open_clip (ARCHITECTURE:WEIGHTS) and of the Hugging
Face hub (OWNER/NAME) work, too.
"""
LIST_EXAMPLES = """examples:
  wxr models list
  wxr models list --json
"""
FAILED = "failed"
"""State of a model that could not be fetched."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `models` to the `wxr` command."""
    summary = "fetch the models of raters, guides and metrics"
    actions = add_group(subparsers, "models", summary, DESCRIPTION, EXAMPLES)
    parser = add_command(actions, "get", "fetch models into their caches", run, GET, EXAMPLES)
    parser.add_argument("names", nargs="+", metavar="NAME", help="name of a model, or its hub id")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the source and the cache of each model; connect to nothing",
    )
    add_json(parser, "source, cache and state of each model")
    add_offline(parser)
    summary = "list the models that have a name"
    parser = add_command(actions, "list", summary, list_models, LIST, LIST_EXAMPLES)
    add_json(parser, "name, source and use")


def run(args: argparse.Namespace) -> int:
    """Fetch the models; return 1 if some of them could not be fetched."""
    from wxr_plugin.conditioning.prefetching import find_prefetch

    # All names are checked before the first gigabyte is on its way.
    models = [find_prefetch(name) for name in dict.fromkeys(args.names)]
    rows = []
    for model in models:
        state = "to fetch" if args.dry_run else _fetch(model)
        rows.append((model.name, model.source, model.cache, state))
    headings = ("name", "source", "cache", "state")
    if args.json:
        print_json([dict(zip(headings, row)) for row in rows])
    else:
        print_table(headings, rows)
    return 1 if any(state == FAILED for *_, state in rows) else 0


def _fetch(model: "Prefetch") -> str:
    """Fetch a model and return its state; an error is printed to stderr."""
    try:
        # Progress of the libraries is no result.
        with redirect_stdout(sys.stderr):
            model.fetch()
    except WxrError as error:  # the other models are still fetched
        print(f"wxr models get: {model.name}: {error}", file=sys.stderr)
        return FAILED
    return "cached"


def list_models(args: argparse.Namespace) -> int:
    """Print the models that can be fetched by name; return 0."""
    from wxr_plugin.conditioning.prefetching import list_prefetches

    headings = ("name", "source", "use")
    rows = list_prefetches()
    if args.json:
        print_json([dict(zip(headings, row)) for row in rows])
    else:
        print_table(headings, rows)
    return 0
