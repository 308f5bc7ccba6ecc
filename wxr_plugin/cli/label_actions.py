"""Actions of `wxr label`. Each returns the exit code: 0 if all succeeded, 1 if something failed."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wxr_plugin.data.weather.kinds import KINDS
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import check_file, check_parents
from wxr_plugin.utils.json_output import json_result, print_json
from wxr_plugin.utils.plans import print_plan

if TYPE_CHECKING:
    from wxr_plugin.data.real_photos import RealPhotos
    from wxr_plugin.labels.labelling import LabelTask
    from wxr_plugin.labels.sources import Crops, Source
    from wxr_plugin.labels.store import LabelStore

ROOTS = (*KINDS, "clear")
"""Weathers whose photos may be named apart: --rain ROOT and so on."""


def run_rate(args: argparse.Namespace) -> int:
    """Rate the photos that the store has no rating of; return 1 on failures."""
    from wxr_plugin.labels import report
    from wxr_plugin.labels.labelling import RatingTask
    from wxr_plugin.vlm.rater import build_rater

    options = _options("rater", args)
    # A function, because the photos are checked before the model is loaded.
    return _label(args, options, lambda: RatingTask(build_rater(options)), report.print_ratings)


def run_describe(args: argparse.Namespace) -> int:
    """Describe the photos that the store has no description of; return 1 on failures."""
    from wxr_plugin.labels import report
    from wxr_plugin.labels.labelling import DescriptionTask
    from wxr_plugin.vlm.describer import build_describer

    options = _options("describer", args)
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
    photos = _photos(args)
    store = _store_path(args)
    if args.csv:
        check_file(args.csv)
    settings = InitSettings(
        crops=_crops(args),
        tile=args.tile or None,
        overlap=args.overlap,
        device=args.device,
        batch_size=_positive(args.batch_size, "--batch-size"),
        retry_failed=args.retry_failed,
    )
    # Wrong names are refused here; models are loaded one by one in init_labels.
    restorers = [read_spec(text) for text in args.restorers]
    raters = _panel(args.raters, args.batch_size)
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
        "store": _state_of(store),
        "restorations": Restorations(store).root,
    }


def _state_of(store: Path) -> str:
    """Return the path of a store, and whether it exists."""
    return f"{store} ({'exists and is extended' if store.exists() else 'new'})"


def run_show(args: argparse.Namespace) -> int:
    """Print the rows as a table or JSON, or write them to a CSV file; return 0."""
    from wxr_plugin.labels import report
    from wxr_plugin.labels.store import LabelStore

    with LabelStore(args.store, readonly=True) as store:
        rows = report.rows(store)
    if args.csv:
        report.write_csv(rows, args.csv)
        print(f"wrote {len(rows)} rows to {args.csv}")
    elif args.json:
        print_json(rows)
    else:
        report.print_rows(rows)
    return 0


def default_store(photos: Path) -> Path:
    """Return the default label store of a folder or LMDB: NAME.labels.lmdb next to it."""
    # The folder "." has no name of its own.
    photos = photos.absolute()
    return photos.with_name(f"{photos.name.removesuffix('.lmdb')}.labels.lmdb")


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

    path = _store_path(args)
    batch_size = _positive(args.batch_size, "--batch-size")
    if _describes_labels(args):
        # Opened for reading first: a missing store is an error before the model is loaded, and is
        # not created.
        source = None
        with LabelStore(path, readonly=True) as store:
            labels = _of_labels(args, store)
            count = _count(labels)
    else:
        source = _of_photos(args)
        count = _count(source)
    if args.dry_run:
        plan = {"images": count, "of": _title(args), "model": options, "store": _state_of(path)}
        print_plan(plan, args.json)
        return 0
    # Loading takes long, and stdout is for results.
    print(f"loading the model {args.model}", file=sys.stderr)
    task = build()
    with json_result(args.json) as result, LabelStore(path) as store:
        source = source or _of_labels(args, store)
        with counting_bar(f"{args.action} {_title(args)}", count) as progress:
            tally = label_photos(source, task, store, batch_size, args.retry_failed, progress)
        result.update(summarise(store, task, tally))
        report.print_tally(store, tally)
        result.update(report.tallied(store, tally))
    return 1 if tally.failed else 0


def _count(source: "Source") -> int:
    """Return the number of images of a source."""
    return len(source) * source.group_size


def _describes_labels(args: argparse.Namespace) -> bool:
    return getattr(args, "pseudo_labels", False)


def _of_photos(args: argparse.Namespace) -> "Source":
    from wxr_plugin.labels.sources import PhotoCrops, WholePhotos

    photos = _photos(args)
    crops = _crops(args)
    return PhotoCrops(photos, crops) if crops else WholePhotos(photos)


def _of_labels(args: argparse.Namespace, store: "LabelStore") -> "Source":
    from wxr_plugin.labels.sources import PseudoLabelImages

    if args.boxes is not None or args.size is not None:
        raise WxrError("--pseudo-labels are taken as they are stored; leave out --boxes and --size")
    return PseudoLabelImages(store)


def _photos(args: argparse.Namespace) -> "RealPhotos":
    from wxr_plugin.data.real_photos import RealPhotos

    roots = _roots(args)
    # Exactly one of the two forms: PHOTOS, or roots by weather.
    if bool(roots) == bool(args.photos):
        raise WxrError(
            "name the photos: one folder or LMDB, or roots by weather (--rain, --haze, --snow, "
            "--clear)"
        )
    for root in (args.photos, *roots.values()):
        if root and root.is_file():
            raise WxrError(f"{root}: a file; name its folder")
    photos = RealPhotos(roots or args.photos)
    if photos.empty:
        empty = ", ".join(photos.empty)
        raise WxrError(f"{empty}: no images in it; put photos of this weather there, or remove it")
    return photos


def _roots(args: argparse.Namespace) -> dict[str, Path]:
    roots = {weather: getattr(args, weather) for weather in ROOTS}
    return {weather: root for weather, root in roots.items() if root is not None}


def _crops(args: argparse.Namespace) -> "Crops | None":
    from wxr_plugin.labels.sources import Crops

    if args.boxes is None and args.size is None:
        return None
    if args.boxes is None or args.size is None:
        raise WxrError(
            "--boxes and --size belong together: boxes_per_image and gt_size of the training set"
        )
    return Crops(_positive(args.boxes, "--boxes"), _positive(args.size, "--size"))


def _store_path(args: argparse.Namespace) -> Path:
    if args.output is None and args.photos is None:
        raise WxrError("name the label store: -o STORE")
    store = args.output or default_store(args.photos)
    # Models load for minutes before the store is opened.
    check_parents(store)
    if store.is_file():
        raise WxrError(f"{store}: exists and is not a label store; give another name")
    return store


def _positive(value: int, name: str) -> int:
    if value < 1:
        raise WxrError(f"{name} must be 1 or more, not {value}")
    return value


def _title(args: argparse.Namespace) -> str:
    if _describes_labels(args):
        return "pseudo-labels"
    return str(args.photos or ", ".join(map(str, _roots(args).values())))


def _options(kind: str, args: argparse.Namespace) -> dict[str, Any]:
    from wxr_plugin.options.vlm_specs import spec_options

    # Flags complete the options that the model is named with, and do not contradict them.
    block = spec_options(kind, args.model)
    flags = {}
    for name in ("prompt", "dtype", "device", "revision", "max_tokens"):
        value = getattr(args, name, None)
        if value is None:  # not on the command line, or no flag of this action
            continue
        if block.get(name, value) != value:
            flag = name.replace("_", "-")
            raise WxrError(f"--{flag} is '{value}', but {args.model} sets another; leave one out")
        flags[name] = value
    return _with_batches(kind, {**block, **flags}, args.batch_size)


def _panel(specs: list[str], batch_size: int) -> dict[str, dict[str, Any]]:
    """Return the options of each rater, keyed by its name in tables.

    A YAML file may hold several raters, which are numbered.
    """
    from wxr_plugin.options.vlm_specs import panel_options

    panel: dict[str, dict[str, Any]] = {}
    for spec in specs:
        # A file is shown by its name, not its path.
        blocks = panel_options("rater", [spec])
        stem = Path(spec).name if spec.endswith((".yml", ".yaml")) else spec
        for number, block in enumerate(blocks, 1):
            name = f"{stem} {number}" if len(blocks) > 1 else stem
            if name in panel:
                raise WxrError(f"--raters: {name} is named twice; name each rater of a panel once")
            panel[name] = _with_batches("rater", block, batch_size)
    return panel


def _with_batches(kind: str, block: dict[str, Any], batch_size: int) -> dict[str, Any]:
    """Return the block with --batch-size, if its class takes one and the block sets none."""
    from wxr_plugin.vlm.registries import chosen

    # Options of the block come last, so that they count.
    _, options = chosen(kind, block)
    return {"batch_size": batch_size, **block} if hasattr(options, "batch_size") else block
