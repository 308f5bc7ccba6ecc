"""`wxr label`: rate and describe photos with a vision-language model, and look at what is stored."""

import argparse
import sys
from pathlib import Path
from typing import Any

EXAMPLE = """example:
  wxr label rate photos/
  wxr label rate photos/ --model llava-1.5-7b --prompt quality -o labels.lmdb
  wxr label describe photos.lmdb --model models/llava-v1.6-mistral-7b-hf
  wxr label show photos.labels.lmdb --csv ratings.csv
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `label` to the `wxr` command."""
    parser = _new(
        subparsers, "label", "rate and describe photos", "Label photos with a vision-language model, each once."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="{rate,describe,show}")
    rate = _new(actions, "rate", "rate photos from 1 (bad) to 5 (excellent)", "Rate every photo of a folder or LMDB.")
    _add_asking(rate, "visibility", "a rating prompt, or a whole question that the five words answer")
    rate.set_defaults(func=run_rate)
    describe = _new(
        actions, "describe", "describe photos and their weather", "Describe every photo of a folder or LMDB."
    )
    _add_asking(describe, "describe", "a description prompt, or a whole question")
    describe.add_argument("--max-tokens", type=int, default=64, help="longest description (default: 64)")
    describe.set_defaults(func=run_describe)
    show = _new(actions, "show", "print what a label store holds", "Print the rows of a label store.")
    show.add_argument("store", type=Path, help="the label store")
    show.add_argument("--csv", type=Path, metavar="FILE", help="write all columns to this file instead")
    show.set_defaults(func=run_show)


def run_rate(args: argparse.Namespace) -> int:
    """Rate what the store does not know yet and sum up; exit code 1 if a photo has no rating."""
    from wxr_plugin.labels import report
    from wxr_plugin.labels.labelling import RatingAsker
    from wxr_plugin.vlm.rater import build_rater

    return _label(args, lambda: RatingAsker(build_rater(_options(args))), report.print_ratings)


def run_describe(args: argparse.Namespace) -> int:
    """Describe what the store does not know yet; exit code 1 if a photo has no description."""
    from wxr_plugin.labels import report
    from wxr_plugin.labels.labelling import DescriptionAsker
    from wxr_plugin.vlm.describer import build_describer

    options = {**_options(args), "max_tokens": args.max_tokens}
    return _label(args, lambda: DescriptionAsker(build_describer(options)), report.print_descriptions)


def run_show(args: argparse.Namespace) -> int:
    """Print the rows as a table, or write them to a CSV file."""
    from wxr_plugin.labels import report
    from wxr_plugin.labels.store import LabelStore

    with LabelStore(args.store, readonly=True) as store:
        rows = report.rows(store)
    if args.csv:
        report.write_csv(rows, args.csv)
        print(f"{len(rows)} rows in {args.csv}")
    else:
        report.print_rows(rows)
    return 0


def default_store(photos: Path) -> Path:
    """Where the labels of a folder or LMDB go unless -o says otherwise: beside it, as NAME.labels.lmdb."""
    photos = photos.absolute()
    return photos.with_name(f"{photos.name.removesuffix('.lmdb')}.labels.lmdb")


def _label(args: argparse.Namespace, build: Any, summarise: Any) -> int:
    from wxr_plugin.data.lmdb_io import ImageStore
    from wxr_plugin.labels import report
    from wxr_plugin.labels.labelling import label_photos
    from wxr_plugin.labels.store import LabelStore

    photos = ImageStore(args.folder)
    print(f"loading the model {args.model}", file=sys.stderr)
    asker = build()
    with LabelStore(args.output or default_store(args.folder)) as store:
        with report.bar(f"{args.action} {args.folder}", len(photos)) as progress:
            tally = label_photos(photos, asker, store, args.batch_size, args.retry_failed, progress)
        summarise(store, asker, tally)
        report.print_tally(store, tally)
    return 1 if tally.failed else 0


def _options(args: argparse.Namespace) -> dict[str, Any]:
    names = ("model", "prompt", "batch_size", "dtype", "device", "revision")
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def _add_asking(parser: argparse.ArgumentParser, prompt: str, meaning: str) -> None:
    parser.add_argument("folder", type=Path, help="folder of photos, sub-folders included, or an LMDB of photos")
    parser.add_argument("-o", "--output", type=Path, metavar="STORE", help="label store (default: FOLDER.labels.lmdb)")
    parser.add_argument("--model", default="tiny", help="a known name, a local folder, or a hub id (default: tiny)")
    parser.add_argument("--prompt", default=prompt, help=f"{meaning} (default: {prompt})")
    parser.add_argument("--batch-size", type=int, default=8, help="photos in one forward pass (default: 8)")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16 (default: auto)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: the GPU if there is one)")
    parser.add_argument("--revision", help="branch, tag or commit of a hub id")
    parser.add_argument("--retry-failed", action="store_true", help="try again what failed before")


def _new(subparsers: argparse._SubParsersAction, name: str, purpose: str, description: str) -> argparse.ArgumentParser:
    style = argparse.RawDescriptionHelpFormatter
    return subparsers.add_parser(name, help=purpose, description=description, epilog=EXAMPLE, formatter_class=style)
