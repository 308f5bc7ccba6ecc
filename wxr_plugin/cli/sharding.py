"""`--shard` and `--balance` of the commands that work through photos."""

import argparse
from typing import get_args

from wxr_plugin.data.sharding import Balance, Shard, read_shard
from wxr_plugin.errors import WxrError


def add_shard(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add `--shard` and `--balance`."""
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="process only shard I of N, such as 1/4; N machines with one shard each process all",
    )
    parser.add_argument(
        "--balance",
        choices=get_args(Balance),
        help="name: a photo's shard follows from its name alone; pixels: shards of equal pixels, "
        "from the same list of photos on all machines (default: name)",
    )


def named_shard(args: argparse.Namespace) -> Shard | None:
    """Return the shard of the command line; None for all photos."""
    if args.shard is None:
        if args.balance:
            raise WxrError("--balance has no effect without --shard; add --shard, or leave it out")
        return None
    return read_shard(args.shard, args.balance or "name")
