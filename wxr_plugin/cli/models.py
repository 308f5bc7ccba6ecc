"""`wxr models get`: fetch the models of raters, guides and metrics into their caches."""

import argparse
import sys

from wxr_plugin.cli.parsers import add_command, add_group, add_offline
from wxr_plugin.errors import WxrError

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
    add_offline(parser)


def run(args: argparse.Namespace) -> int:
    """Fetch the models; return 1 if some of them could not be fetched."""
    from wxr_plugin.conditioning.prefetching import find_prefetch

    # All names are checked before the first gigabyte is on its way.
    models = [find_prefetch(name) for name in dict.fromkeys(args.names)]
    code = 0
    for model in models:
        if args.dry_run:
            print(f"{model.name}: {model.source}, into {model.cache}")
            continue
        try:
            model.fetch()
        except WxrError as error:  # the other models are still fetched
            print(f"wxr models get: {model.name}: {error}", file=sys.stderr)
            code = 1
        else:
            print(f"{model.name}: {model.source}, in {model.cache}")
    return code
