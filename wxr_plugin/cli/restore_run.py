"""The run of `wxr restore`: plan the results, restore what is missing, list the failures."""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from wxr_plugin.cli.restore_display import OTHERS, RestoreBar, counted, duration, run_line
from wxr_plugin.cli.restore_network import load_restorer
from wxr_plugin.cli.restore_plan import names_file, plan, result_kind, skipped_line
from wxr_plugin.cli.sharding import named_shard
from wxr_plugin.data.images.sources import check_sizes, in_shard, read_source
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.memory import reuse_memory
from wxr_plugin.inference.pipeline import restore_files
from wxr_plugin.video.flicker import FolderSmoother

QUALITY = 95
"""Quality of JPEG and WebP files where none is given."""


def run(args: argparse.Namespace) -> dict[str, list]:
    """Restore every photo, list failures at the end, and return the outcome for JSON."""
    started = time.monotonic()
    check(args)
    shard = named_shard(args)
    sources = [read_source(path, args.output) for path in args.photos]
    if args.frames or args.smooth:
        check_sizes(photo for source in sources for photo in source.photos)
    if shard:
        sources = in_shard(sources, shard)
    jobs = plan(sources, args.output, args.format)
    others = [file for source in sources for file in source.others]
    if others:
        _note(args, skipped_line(others))
    # target -> photo, for the results that do not exist yet.
    pending = dict(jobs)
    if not args.overwrite:
        pending = {target: photo for target, photo in jobs.items() if not target.exists()}
    if len(pending) < len(jobs):
        _note(args, _existing_line(len(jobs) - len(pending), len(jobs), args.output))
    existing = [target for target in jobs if target not in pending]
    if args.smooth:
        _check_whole(existing, pending, args.output)
    result: dict[str, list] = {"existing": existing, "skipped": others}
    pairs = [{"photo": photo, "result": target} for target, photo in pending.items()]
    if args.dry_run:
        for target, photo in pending.items():
            print(f"{photo} -> {target}")
        return {**result, "failed": [], "restored": [], "to_restore": pairs}
    failures = restore_all(pending, args) if pending else {}
    for failure in failures.values():
        print(f"failed: {failure}")
    _note(args, _summary(len(pending) - len(failures), time.monotonic() - started, args.output))
    failed = [{"photo": photo, "error": error} for photo, error in failures.items()]
    restored = [pair for pair in pairs if pair["photo"] not in failures]
    return {**result, "failed": failed, "restored": restored}


def check(args: argparse.Namespace) -> None:
    """Raise WxrError with every option that is out of its range or has no effect."""
    problems = []
    if args.tile is not None and args.tile < 0:
        problems.append(f"--tile {args.tile}: take a side in pixels, or 0 for whole photos")
    elif args.overlap is not None and not 0 <= args.overlap < (args.tile or args.overlap + 1):
        limit = f"smaller than --tile {args.tile}, and " if args.tile else ""
        problems.append(f"--overlap {args.overlap} must be {limit}0 or more")
    if args.batch < 1:
        problems.append(f"--batch {args.batch}: take 1 or more")
    if args.batch > 1 and args.tile == 0:
        problems.append("--batch counts tiles, and --tile 0 cuts none: leave one of them out")
    if args.quality is not None and not 1 <= args.quality <= 100:
        problems.append(f"--quality {args.quality}: take 1 to 100")
    if args.quality is not None and result_kind(args.output, args.format) == "png":
        problems.append("--quality has no effect on PNG: leave it out, or add --format")
    for flag, value, least in (("--steps", args.steps, 1), ("--seed", args.seed, 0)):
        if value is not None and value < least:
            problems.append(f"{flag} {value}: take {least} or more")
    if not 0 <= args.smooth < 1:
        problems.append(f"--smooth {args.smooth}: take 0 or more, and less than 1")
    files = [path for path in args.photos if path.is_file()] if args.smooth else []
    if files:
        problems.append(f"--smooth is for videos and folders of frames, and {files[0]} is a photo")
    if args.rate is not None:
        problems.append("--rate is for a sequence of images such as frames/%04d.png: leave it out")
    if problems:
        raise WxrError("; ".join(problems))


def _check_whole(existing: Sequence[Path], pending: Mapping[Path, Path], output: Path) -> None:
    """Raise WxrError if only some frames are to be restored, since each depends on those before."""
    if existing and pending:
        total = len(existing) + len(pending)
        raise WxrError(
            f"{len(existing)} of {total} results exist in {output}, and --smooth averages over all "
            "frames before: add --overwrite, or name another folder with -o"
        )


def _existing_line(count: int, total: int, output: Path) -> str:
    if names_file(output):
        return f"{output} exists (--overwrite restores it again)"
    return f"{count} of {total} results exist in {output} (--overwrite restores them again)"


def _summary(count: int, seconds: float, output: Path) -> str:
    return f"{counted(count)} restored in {duration(seconds)}: {output}"


def restore_all(jobs: Mapping[Path, Path], args: argparse.Namespace) -> dict[Path, str]:
    """Restore `jobs` (target -> photo) under a progress bar; return photo -> line of a failure."""
    restorer = load_restorer(args)
    # On a GPU torch itself caches freed memory; on a CPU glibc has to be asked to.
    if restorer.device.type == "cpu":
        reuse_memory()
    _note(args, run_line(restorer, args.method, args.checkpoint))
    if not args.method and not args.checkpoint:
        _note(args, OTHERS)
    quality = QUALITY if args.quality is None else args.quality
    finish = FolderSmoother(args.smooth).smooth if args.smooth else None
    outcomes = restore_files(jobs, restorer, quality, finish)
    with RestoreBar(restorer, len(jobs)) as bar:
        return {outcome.photo: outcome.error for outcome in bar.follow(outcomes) if outcome.error}


def _note(args: argparse.Namespace, line: str) -> None:
    """Print a line that is no result, unless -q was given."""
    if not getattr(args, "quiet", False):
        print(line)
