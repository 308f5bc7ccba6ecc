"""`wxr label`: rate, describe and rewrite, choose the first pseudo-labels, and look at what is stored."""

import argparse
from pathlib import Path

from wxr_plugin.cli import label_actions

WEATHERS = ("rain", "haze", "snow", "clear")

EXAMPLE = """example:
  wxr label rate photos/
  wxr label rate photos/ --model llava-1.5-7b --prompt quality -o labels.lmdb
  wxr label describe --rain rain/ --haze haze.lmdb --snow snow/ --boxes 4 --size 256 -o labels.lmdb
  wxr label rewrite labels.lmdb
  wxr label init photos/ -o labels.lmdb --restorers restormer.yml mine=net_g.pth --raters llava-1.5-7b pyiqa:musiq
  wxr label show photos.labels.lmdb --csv rows.csv
  wxr label rescue damaged.lmdb -o rescued.lmdb
  wxr label caption datasets/universal/train -o datasets/universal/train.csv
  wxr label caption clean/ --lq hazy=hazy/ --lq rainy=rainy/ --model blip-base -o captions.csv
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `label` to the `wxr` command."""
    purpose = (
        "Label photos with a vision-language model, each once, and choose their pseudo-labels."
    )
    parser = _new(subparsers, "label", "rate and describe photos, choose pseudo-labels", purpose)
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="{rate,describe,rewrite,init,show,rescue,caption}"
    )
    for add in (
        _add_rate,
        _add_describe,
        _add_rewrite,
        _add_init,
        _add_show,
        _add_rescue,
        _add_caption,
    ):
        add(actions)


def _add_rate(actions: argparse._SubParsersAction) -> None:
    purpose = "Rate every photo of a folder or LMDB."
    parser = _new(actions, "rate", "rate photos from 1 (bad) to 5 (excellent)", purpose)
    _add_photos(parser)
    _add_asking(
        parser,
        "a rating prompt, or a whole question that the five words answer (default: visibility)",
    )
    parser.set_defaults(func=label_actions.run_rate)


def _add_describe(actions: argparse._SubParsersAction) -> None:
    purpose = "Describe every photo of a folder or LMDB."
    parser = _new(actions, "describe", "describe photos and their weather", purpose)
    _add_photos(parser)
    what = "describe the pseudo-labels of the store, under the names of their photos, instead of the photos"
    parser.add_argument("--pseudo-labels", action="store_true", help=what)
    _add_asking(parser, "a description prompt, or a whole question (default: describe)")
    parser.add_argument(
        "--max-tokens", type=int, help="longest description, in the model's tokens (default: 64)"
    )
    parser.set_defaults(func=label_actions.run_describe)


def _add_rewrite(actions: argparse._SubParsersAction) -> None:
    purpose = "Rewrite the newest description of every photo as if the weather were clear."
    parser = _new(actions, "rewrite", "rewrite the descriptions for clear weather", purpose)
    parser.add_argument("store", type=Path, help="the label store")
    rules = "rules (no model), a model, http://HOST/v1#MODEL, or a YAML file of options (default: rules)"
    parser.add_argument("--rewriter", metavar="SPEC", default="rules", help=rules)
    parser.add_argument("--retry-failed", action="store_true", help="try again what failed before")
    parser.set_defaults(func=label_actions.run_rewrite)


def _add_init(actions: argparse._SubParsersAction) -> None:
    purpose = "Let a panel of raters choose, of each photo, its best restoration as the first pseudo-label."
    parser = _new(actions, "init", "choose the first pseudo-labels", purpose)
    _add_photos(parser)
    specs = "checkpoints (.pth, .safetensors), option files (.yml) with weights, or tiny; NAME=PATH gives a name"
    parser.add_argument("--restorers", nargs="+", metavar="SPEC", default=[], help=specs)
    raters = "the panel: models, MODEL:PROMPT, pyiqa:METRIC, http://HOST/v1#MODEL, YAML files (default: tiny)"
    parser.add_argument("--raters", nargs="+", metavar="SPEC", default=["tiny"], help=raters)
    copy = "make STORE from this store first; its newest pseudo-labels are candidates too"
    parser.add_argument("--from", dest="source", type=Path, metavar="OLD", help=copy)
    parser.add_argument(
        "--tile", type=int, default=1024, help="cut larger photos into tiles of this side; 0: never"
    )
    parser.add_argument(
        "--overlap", type=int, default=32, help="pixels that neighbouring tiles share (default: 32)"
    )
    parser.add_argument(
        "--device", help="where restorers run: cpu, cuda, … (default: the GPU if there is one)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=8, help="images that a rater gets at once (default: 8)"
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="ask the raters again about what failed before"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the summary to this file too"
    )
    remove = (
        "delete STORE.candidates, the restorations, at the end; kept, they save restoring again"
    )
    parser.add_argument("--remove-candidates", action="store_true", help=remove)
    parser.set_defaults(func=label_actions.run_init)


def _add_show(actions: argparse._SubParsersAction) -> None:
    parser = _new(
        actions, "show", "print what a label store holds", "Print the rows of a label store."
    )
    parser.add_argument("store", type=Path, help="the label store")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write all columns to this file instead"
    )
    parser.set_defaults(func=label_actions.run_show)


def _add_rescue(actions: argparse._SubParsersAction) -> None:
    purpose = (
        "Copy every sound row of a damaged label store to a new one. Exit code 1 if rows were lost."
    )
    parser = _new(actions, "rescue", "save what can be read of a damaged label store", purpose)
    parser.add_argument("store", type=Path, help="the damaged label store, which stays as it is")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="NEW", help="the new label store"
    )
    parser.set_defaults(func=_run_rescue)


def _run_rescue(args: argparse.Namespace) -> int:
    from wxr_plugin.labels.rescuing import rescue_store

    rescued = rescue_store(args.store, args.output)
    print(f"{args.output}: {rescued}")
    return 1 if rescued.lost else 0


def _add_caption(actions: argparse._SubParsersAction) -> None:
    purpose = "Caption clean photos with BLIP, for their degraded versions: the table that trains DA-CLIP."
    parser = _new(actions, "caption", "caption clean photos to train DA-CLIP", purpose)
    photos = "folder with <degradation>/GT and <degradation>/LQ; with --lq, the clean photos"
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help=photos)
    lq = "degraded versions of the clean photos; once for each degradation"
    parser.add_argument("--lq", action="append", default=[], metavar="DEGRADATION=FOLDER", help=lq)
    table = (
        "table to write, or to go on with: tab-separated, filepath and '<caption>: <degradation>'"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.csv", help=table)
    model = "a BLIP: blip-large, blip-base, a local folder or a hub id (default: blip-large)"
    parser.add_argument("--model", metavar="MODEL", help=model)
    parser.add_argument(
        "--max-tokens", type=int, help="longest caption, in the model's tokens (default: 32)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=8, help="photos in one forward pass (default: 8)"
    )
    parser.add_argument("--dtype", help="auto, float32, bfloat16 or float16 (default: auto)")
    parser.add_argument(
        "--device", help="cpu, cuda, cuda:1, ... (default: the GPU if there is one)"
    )
    parser.add_argument("--revision", help="branch, tag or commit of a hub id")
    parser.set_defaults(func=_run_caption)


def _run_caption(args: argparse.Namespace) -> int:
    from wxr_plugin.labels.captioning import run_caption

    return run_caption(args)


def _add_photos(parser: argparse.ArgumentParser) -> None:
    photos = (
        "folder of photos, or an LMDB; the sub-folders rain, haze, snow and clear tell the weather"
    )
    parser.add_argument("photos", nargs="?", type=Path, metavar="PHOTOS", help=photos)
    for weather in WEATHERS:
        parser.add_argument(
            f"--{weather}", type=Path, metavar="ROOT", help=f"{weather} photos, instead of PHOTOS"
        )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="STORE",
        help="label store (default: PHOTOS.labels.lmdb)",
    )
    boxes = "take so many crops of each photo, those of training with boxes_per_image: N"
    parser.add_argument("--boxes", type=int, metavar="N", help=boxes)
    parser.add_argument(
        "--size", type=int, metavar="S", help="side of these crops, gt_size in training"
    )


def _add_asking(parser: argparse.ArgumentParser, prompt: str) -> None:
    model = "a known name, a local folder, a hub id, pyiqa:METRIC, http://HOST/v1#MODEL, or a YAML file (default: tiny)"
    parser.add_argument("--model", metavar="SPEC", default="tiny", help=model)
    parser.add_argument("--prompt", help=prompt)
    parser.add_argument(
        "--batch-size", type=int, default=8, help="photos in one forward pass (default: 8)"
    )
    parser.add_argument("--dtype", help="auto, float32, bfloat16 or float16 (default: auto)")
    parser.add_argument(
        "--device", help="cpu, cuda, cuda:1, ... (default: the GPU if there is one)"
    )
    parser.add_argument("--revision", help="branch, tag or commit of a hub id")
    parser.add_argument("--retry-failed", action="store_true", help="try again what failed before")


def _new(
    subparsers: argparse._SubParsersAction, name: str, purpose: str, description: str
) -> argparse.ArgumentParser:
    style = argparse.RawDescriptionHelpFormatter
    return subparsers.add_parser(
        name, help=purpose, description=description, epilog=EXAMPLE, formatter_class=style
    )
