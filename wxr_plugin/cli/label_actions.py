"""Actions of `wxr label`. Each returns the exit code: 0 if all succeeded, 1 if something failed."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wxr_plugin.cli.label_inputs import (
    at_least_one,
    count_images,
    describes_labels,
    named_crops,
    named_photos,
    of_labels,
    of_photos,
    source_title,
    store_path,
    store_state,
)
from wxr_plugin.cli.label_models import model_block, panel_blocks
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import check_file
from wxr_plugin.utils.json_output import json_result, print_json
from wxr_plugin.utils.plans import print_plan
from wxr_plugin.utils.verbosity import note

if TYPE_CHECKING:
    from wxr_plugin.data.real_photos import RealPhotos
    from wxr_plugin.labels.labelling import LabelTask


def run_rate(args: argparse.Namespace) -> int:
    """Rate the photos that the store has no rating of; return 1 on failures."""
    from wxr_plugin.labels import report
    from wxr_plugin.labels.labelling import RatingTask
    from wxr_plugin.vlm.rater import build_rater

    options = model_block("rater", args)
    # A function, because the photos are checked before the model is loaded.
    return _label(args, options, lambda: RatingTask(build_rater(options)), report.print_ratings)


def run_describe(args: argparse.Namespace) -> int:
    """Describe the photos that the store has no description of; return 1 on failures."""
    from wxr_plugin.labels import report
    from wxr_plugin.labels.labelling import DescriptionTask
    from wxr_plugin.vlm.describer import build_describer

    options = model_block("describer", args)
    return _label(
        args,
        options,
        lambda: DescriptionTask(build_describer(options)),
        report.print_descriptions,
    )


def run_rewrite(args: argparse.Namespace) -> int:
    """Rewrite the newest descriptions that have no rewrite yet; return 1 on failures."""
    from wxr_plugin.labels import report
    from wxr_plugin.labels.rewriting import rewrite_descriptions, to_rewrite
    from wxr_plugin.labels.store import LabelStore
    from wxr_plugin.options.vlm_specs import spec_options
    from wxr_plugin.utils.progress import counting_bar
    from wxr_plugin.vlm.rewriter import build_rewriter

    options = spec_options("rewriter", args.rewriter)
    # Counted before the model is loaded, so that a store without descriptions fails at once.
    with LabelStore(args.store, readonly=True) as store:
        count = len(to_rewrite(store))
    if args.dry_run:
        plan = {"store": args.store, "texts": count, "rewriter": options}
        print_plan(plan, args.json)
        return 0
    rewriter = build_rewriter(options)
    with json_result(args.json) as result, LabelStore(args.store) as store:
        with counting_bar(f"rewrite {args.store}", count) as progress:
            tally = rewrite_descriptions(store, rewriter, args.retry_failed, progress)
        result.update(report.print_rewrites(store, rewriter.provenance, tally))
        report.print_tally(store, tally, "texts")
        result.update(report.tallied(store, tally))
    return 1 if tally.failed else 0


def run_init(args: argparse.Namespace) -> int:
    """Restore, rate, vote and store the winners; return 1 if a photo failed or has no rating."""
    from wxr_plugin.inference.specs import read_spec
    from wxr_plugin.labels import init_report
    from wxr_plugin.labels.initial import InitSettings, init_labels
    from wxr_plugin.labels.restoring import Restorations
    from wxr_plugin.utils.progress import counting_bar

    # 0 stands for whole photos, which have no overlap.
    if args.tile and not 0 <= args.overlap < args.tile:
        raise WxrError(f"--overlap {args.overlap} must be smaller than --tile {args.tile}")
    photos = named_photos(args)
    store = store_path(args)
    if args.csv:
        check_file(args.csv)
    settings = InitSettings(
        crops=named_crops(args),
        tile=args.tile or None,
        overlap=args.overlap,
        precision=args.precision,
        device=args.device,
        batch_size=at_least_one(args.batch_size, "--batch-size"),
        retry_failed=args.retry_failed,
    )
    # Wrong names are refused here; models are loaded one by one in init_labels.
    restorers = [read_spec(text) for text in args.restorers]
    raters = panel_blocks(args.raters, args.batch_size)
    if args.dry_run:
        names = [restorer.name for restorer in restorers]
        print_plan(_planned_init(photos, store, names, raters), args.json)
        return 0
    with json_result(args.json) as values:
        if args.source and store.exists():
            print(f"{store} exists: resuming with it, nothing is copied from {args.source}")
        result = init_labels(photos, store, restorers, raters, settings, args.source, counting_bar)
        restorations = Restorations(store)
        # Kept by default: a second call with another panel need not restore again.
        if args.remove_candidates:
            restorations.remove()
        elif restorations.root.exists():
            print(f"restorations are kept in {restorations.root}; --remove-candidates deletes them")
        init_report.print_result(result, store)
        if args.csv:
            init_report.write_csv(result, args.csv)
        values.update(init_report.values(result, store))
    return 1 if result.failed or result.unrated else 0


def _planned_init(
    photos: "RealPhotos", store: Path, restorers: list[str], raters: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return the plan of `wxr label init`, for `--dry-run`."""
    from wxr_plugin.labels.restoring import Restorations

    return {
        "photos": len(photos),
        "candidates": ["input", *restorers],
        "raters": raters,
        "store": store_state(store),
        "restorations": Restorations(store).root,
    }


def run_show(args: argparse.Namespace) -> int:
    """Print the rows as a table or JSON, or write them to a CSV file; return 0."""
    from wxr_plugin.labels import listing
    from wxr_plugin.labels.store import LabelStore

    with LabelStore(args.store, readonly=True) as store:
        if args.csv:
            count = listing.write_csv(listing.each_row(store), args.csv)
            print(f"wrote {count} rows to {args.csv}")
            return 0
        rows = listing.rows(store)
    if args.json:
        print_json(rows)
    else:
        listing.print_rows(rows)
    return 0


def _label(
    args: argparse.Namespace,
    options: dict[str, Any],
    build: Callable[[], "LabelTask"],
    summarise: Callable[..., dict[str, Any]],
) -> int:
    from wxr_plugin.labels import report
    from wxr_plugin.labels.labelling import label_photos
    from wxr_plugin.labels.store import LabelStore
    from wxr_plugin.utils.progress import counting_bar

    path = store_path(args)
    batch_size = at_least_one(args.batch_size, "--batch-size")
    if describes_labels(args):
        # Opened for reading first: a missing store is an error before the model is loaded, and is
        # not created.
        source = None
        with LabelStore(path, readonly=True) as store:
            labels = of_labels(args, store)
            count = count_images(labels)
    else:
        source = of_photos(args)
        count = count_images(source)
    if args.dry_run:
        plan = {
            "images": count,
            "of": source_title(args),
            "model": options,
            "store": store_state(path),
        }
        print_plan(plan, args.json)
        return 0
    # Loading takes long.
    note(f"loading the model {args.model}")
    task = build()
    with json_result(args.json) as result, LabelStore(path) as store:
        # A shard without photos is a source of length 0.
        source = of_labels(args, store) if source is None else source
        with counting_bar(f"{args.action} {source_title(args)}", count) as progress:
            tally = label_photos(source, task, store, batch_size, args.retry_failed, progress)
        result.update(summarise(store, task, tally))
        report.print_tally(store, tally)
        result.update(report.tallied(store, tally))
    return 1 if tally.failed else 0
