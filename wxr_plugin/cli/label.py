"""`wxr label`: rate and describe photos, choose pseudo-labels, show and rescue label stores."""

import argparse
from pathlib import Path
from typing import get_args

from wxr_plugin.cli import label_actions, label_stores
from wxr_plugin.cli.label_inputs import ROOTS
from wxr_plugin.cli.parsers import add_command, add_device, add_group, add_offline
from wxr_plugin.cli.sharding import add_shard, named_shard
from wxr_plugin.inference.packaged import Precision
from wxr_plugin.utils.json_output import add_json
from wxr_plugin.utils.plans import add_dry_run

DESCRIPTION = """
Label photos with vision-language models, and choose their first pseudo-labels. Labels are written
to a label store (an LMDB), which remembers which model gave each label; nothing is computed twice.
"""
EXAMPLES = """examples:
  wxr label rate photos/
  wxr label describe photos/
  wxr label rewrite photos.labels.lmdb
  wxr label init photos/ --restorers restormer.yml mine=net_g.pth
  wxr label show photos.labels.lmdb
"""
RATE = """
Rate every photo of a folder or LMDB from 1 (bad) to 5 (excellent).
"""
RATE_EXAMPLES = """examples:
  wxr label rate photos/
  wxr label rate photos/ --model llava-1.5-7b --prompt quality -o labels.lmdb
  wxr label rate photos/ --json > ratings.json
  wxr label rate photos/ --shard 1/4
"""
DESCRIBE = """
Describe the content and the weather of every photo of a folder or LMDB.
"""
DESCRIBE_EXAMPLES = """examples:
  wxr label describe photos/ --model llava-1.5-7b
  wxr label describe --rain rain/ --haze haze.lmdb --boxes 4 --size 256 -o labels.lmdb
"""
REWRITE = """
Rewrite the newest description of every photo for clear weather.
"""
REWRITE_EXAMPLES = """examples:
  wxr label rewrite labels.lmdb
  wxr label rewrite labels.lmdb --rewriter http://localhost:8000/v1#llama
"""
INIT = """
Restore every photo with several restorers, let a panel of raters vote for the best restoration,
and store it as the first pseudo-label.
"""
INIT_EXAMPLES = """examples:
  wxr label init photos/ -o labels.lmdb --restorers restormer.yml mine=net_g.pth
  wxr label init photos/ --restorers tiny --raters llava-1.5-7b pyiqa:musiq
"""
SHOW_EXAMPLES = """examples:
  wxr label show photos.labels.lmdb
  wxr label show photos.labels.lmdb --csv rows.csv
"""
RESCUE = """
Copy every readable row of a damaged label store to a new one. Exit code 1 if rows were lost.
"""
RESCUE_EXAMPLES = """example:
  wxr label rescue damaged.lmdb -o rescued.lmdb
"""
CAPTION = """
Caption clean photos with BLIP and write the table of captions and degradations that DA-CLIP is
trained with.
"""
CAPTION_EXAMPLES = """examples:
  wxr label caption datasets/universal/train -o datasets/universal/train.csv
  wxr label caption clean/ --lq hazy=hazy/ --lq rainy=rainy/ --model blip-base -o captions.csv
"""

MODEL = (
    "model name, local folder, Hugging Face id, hf://OWNER/NAME, pyiqa:METRIC, "
    "http://HOST/v1#MODEL or YAML file"
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `label` to the `wxr` command."""
    summary = "rate and describe photos, choose pseudo-labels"
    actions = add_group(subparsers, "label", summary, DESCRIPTION, EXAMPLES)
    _add_rate(actions)
    _add_describe(actions)
    _add_rewrite(actions)
    _add_init(actions)
    _add_show(actions)
    label_stores.add_parsers(actions)
    _add_rescue(actions)
    _add_caption(actions)


def _add_rate(actions: argparse._SubParsersAction) -> None:
    summary = "rate photos from 1 (bad) to 5 (excellent)"
    parser = add_command(actions, "rate", summary, label_actions.run_rate, RATE, RATE_EXAMPLES)
    _add_photos(parser)
    _add_model(
        parser,
        "rating prompt, or a question to be answered by excellent, good, fair, poor or bad "
        "(default: visibility)",
    )


def _add_describe(actions: argparse._SubParsersAction) -> None:
    summary = "describe photos and their weather"
    parser = add_command(
        actions, "describe", summary, label_actions.run_describe, DESCRIBE, DESCRIBE_EXAMPLES
    )
    _add_photos(parser)
    parser.add_argument(
        "--pseudo-labels",
        action="store_true",
        help="describe the pseudo-labels of STORE instead of the photos",
    )
    _add_model(parser, "description prompt, or a question (default: describe)")
    parser.add_argument(
        "--max-tokens", type=int, metavar="N", help="tokens of a description (default: 64)"
    )


def _add_rewrite(actions: argparse._SubParsersAction) -> None:
    summary = "rewrite descriptions for clear weather"
    parser = add_command(
        actions, "rewrite", summary, label_actions.run_rewrite, REWRITE, REWRITE_EXAMPLES
    )
    parser.add_argument("store", type=Path, metavar="STORE", help="label store")
    parser.add_argument(
        "--rewriter",
        metavar="SPEC",
        default="rules",
        help="rules (no model), a model, http://HOST/v1#MODEL or a YAML file",
    )
    add_offline(parser)
    _add_retry(parser)
    _add_output(parser)


def _add_init(actions: argparse._SubParsersAction) -> None:
    summary = "choose the first pseudo-labels"
    parser = add_command(actions, "init", summary, label_actions.run_init, INIT, INIT_EXAMPLES)
    _add_photos(parser)
    parser.add_argument(
        "--restorers",
        nargs="+",
        metavar="SPEC",
        default=[],
        help="checkpoints (.pth, .safetensors), option files (.yml) or tiny; NAME=PATH sets a name",
    )
    parser.add_argument(
        "--raters",
        nargs="+",
        metavar="SPEC",
        default=["tiny"],
        help="panel of raters: models, MODEL:PROMPT, pyiqa:METRIC, http://HOST/v1#MODEL or YAML "
        "files (default: tiny)",
    )
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="STORE",
        help="label store to start from; its pseudo-labels are candidates, too",
    )
    parser.add_argument(
        "--tile",
        type=int,
        default=1024,
        metavar="PIXELS",
        help="side of the tiles into which larger photos are cut; 0 for whole photos",
    )
    parser.add_argument(
        "--overlap", type=int, default=32, metavar="PIXELS", help="overlap of neighbouring tiles"
    )
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        default="fp32",
        help="precision of the restorers' forward pass",
    )
    add_device(parser)
    add_offline(parser)
    _add_batch_size(parser, "images in one call of a rater")
    _add_retry(parser)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the summary to FILE")
    parser.add_argument(
        "--remove-candidates",
        action="store_true",
        help="delete the restorations (STORE.candidates) at the end, which a second call would "
        "reuse",
    )
    _add_output(parser)


def _add_show(actions: argparse._SubParsersAction) -> None:
    summary = "print the rows of a label store"
    parser = add_command(actions, "show", summary, label_actions.run_show, examples=SHOW_EXAMPLES)
    parser.add_argument("store", type=Path, metavar="STORE", help="label store")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write all columns to FILE instead"
    )
    add_json(parser, "all columns of the rows")


def _add_rescue(actions: argparse._SubParsersAction) -> None:
    summary = "recover the readable rows of a damaged label store"
    parser = add_command(actions, "rescue", summary, _run_rescue, RESCUE, RESCUE_EXAMPLES)
    parser.add_argument(
        "store", type=Path, metavar="STORE", help="damaged label store, which is left unchanged"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="NEW", help="label store to write"
    )


def _run_rescue(args: argparse.Namespace) -> int:
    from wxr_plugin.labels.rescuing import rescue_store

    rescued = rescue_store(args.store, args.output)
    print(f"{args.output}: {rescued}")
    return 1 if rescued.lost else 0


def _add_caption(actions: argparse._SubParsersAction) -> None:
    summary = "caption clean photos to train DA-CLIP"
    parser = add_command(actions, "caption", summary, _run_caption, CAPTION, CAPTION_EXAMPLES)
    parser.add_argument(
        "photos",
        type=Path,
        metavar="PHOTOS",
        help="folder with <degradation>/GT and <degradation>/LQ; with --lq, the clean photos",
    )
    parser.add_argument(
        "--lq",
        action="append",
        default=[],
        metavar="DEGRADATION=FOLDER",
        help="degraded versions of the clean photos; repeat for each degradation",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE.csv",
        help="tab-separated table to write or extend: file path, '<caption>: <degradation>'",
    )
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="blip-large, blip-base, local folder or Hugging Face id (default: blip-large)",
    )
    parser.add_argument(
        "--max-tokens", type=int, metavar="N", help="tokens of a caption (default: 32)"
    )
    _add_batch_size(parser, "photos in one forward pass")
    add_shard(parser)
    _add_loading(parser)
    _add_output(parser)


def _run_caption(args: argparse.Namespace) -> int:
    from wxr_plugin.labels.captioning import run_caption

    return run_caption(args, named_shard(args))


def _add_photos(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "photos",
        nargs="?",
        type=Path,
        metavar="PHOTOS",
        help="folder of photos, or an LMDB; sub-folders rain, haze, snow and clear set the weather",
    )
    for weather in ROOTS:
        parser.add_argument(
            f"--{weather}",
            type=Path,
            metavar="ROOT",
            help=f"folder or LMDB of {weather} photos, instead of PHOTOS",
        )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="STORE",
        help="label store (default: PHOTOS.labels.lmdb)",
    )
    parser.add_argument(
        "--boxes",
        type=int,
        metavar="N",
        help="label N crops of each photo, the same as in training with boxes_per_image: N "
        "(default: whole photos)",
    )
    parser.add_argument(
        "--size", type=int, metavar="PIXELS", help="side of the crops, the gt_size of training"
    )
    add_shard(parser)


def _add_model(parser: argparse.ArgumentParser, prompt: str) -> None:
    parser.add_argument("--model", metavar="SPEC", default="tiny", help=MODEL)
    parser.add_argument("--prompt", metavar="PROMPT", help=prompt)
    _add_batch_size(parser, "photos in one forward pass")
    _add_loading(parser)
    _add_retry(parser)
    _add_output(parser)


def _add_output(parser: argparse.ArgumentParser) -> None:
    add_dry_run(parser)
    add_json(parser, "the counts and statistics, or the plan,")


def _add_batch_size(parser: argparse.ArgumentParser, meaning: str) -> None:
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help=meaning)


def _add_loading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dtype", metavar="DTYPE", help="auto, float32, bfloat16 or float16 (default: auto)"
    )
    add_device(parser)
    add_offline(parser)
    parser.add_argument(
        "--revision", metavar="REVISION", help="branch, tag or commit of a Hugging Face id"
    )


def _add_retry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--retry-failed", action="store_true", help="retry what failed in an earlier call"
    )
