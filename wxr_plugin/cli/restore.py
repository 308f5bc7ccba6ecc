"""`wxr restore`: remove rain, haze and snow from photographs."""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

from wxr_plugin.cli.downloading import add_download, after_download
from wxr_plugin.cli.parsers import add_command, add_device, add_offline
from wxr_plugin.cli.restore_display import OTHERS, RestoreBar, counted, duration, run_line
from wxr_plugin.cli.restore_network import load_restorer
from wxr_plugin.cli.restore_plan import FORMATS, names_file, plan, result_kind, skipped_line
from wxr_plugin.data.images.sources import check_sizes, read_source
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.fit import PRECISIONS
from wxr_plugin.inference.memory import reuse_memory
from wxr_plugin.inference.pipeline import restore_files
from wxr_plugin.sampling.sampler import METHODS

QUALITY = 95

DESCRIPTION = """
Restore photos of any size: remove rain, haze, snow, or any other degradation that the network was
trained for. Greyscale and 16-bit photos keep their format, transparency is preserved, and the EXIF
orientation is applied. A network guided by a DA-CLIP also prints the degradation that it detected.

Existing results are kept, so the same call resumes an interrupted one. Results are never written
into a folder that holds the photos.
"""
EXAMPLES = """examples:
  wxr restore holiday/ -o restored/
  wxr restore rain.jpg -o dry.png
  wxr restore rain.jpg -o restored/ --checkpoint experiments/mine/models/net_g_latest.pth
  wxr restore holiday/ -o restored/ --method restormer-derain --format same --quality 90
  wxr restore rain.jpg -o restored/ --method prenet-rain100h --download
  wxr restore panorama.tif -o restored/ --precision bf16 --tile 768 --overlap 96 --batch 4
  wxr restore frames/ -o restored/ --checkpoint experiments/irsde/models/net_g_latest.pth --frames
  wxr restore street.jpg -o restored/ --method daclip --guide daclip_ViT-B-32.pt --seed 1

exit codes:
  0  all photos were restored
  1  some photos failed; they are listed at the end
  2  nothing could be done

docs/restore.md has more.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `restore` to the `wxr` command."""
    summary = "restore photos with a trained network"
    parser = add_command(subparsers, "restore", summary, run, DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "photos", nargs="+", type=Path, metavar="PHOTOS", help="photo, or folder of photos"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help="output folder; for a single photo also an output file such as dry.png",
    )
    parser.add_argument("--overwrite", action="store_true", help="overwrite existing results")
    parser.set_defaults(func=after_download(run, downloads))
    _add_network(parser.add_argument_group("network"))
    _add_files(parser.add_argument_group("output files"))
    _add_computing(parser.add_argument_group("memory and speed"))
    _add_sampling(parser.add_argument_group("diffusion networks"))


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--checkpoint",
        type=Path,
        action="append",
        metavar="FILE",
        help="weights (.pth, .safetensors), or the packaged tiny or small; repeat for a method "
        "with several files (default: small)",
    )
    group.add_argument(
        "--opt",
        type=Path,
        metavar="FILE",
        help="option file with the network_g of a checkpoint that does not store it",
    )
    group.add_argument(
        "--method",
        metavar="NAME",
        help="published method with its official weights; see `wxr zoo list`",
    )
    add_download(group, "--method")
    add_offline(group)
    group.add_argument(
        "--instruction",
        metavar="TEXT",
        help="instruction for a method that takes one (default: the published instruction)",
    )
    group.add_argument(
        "--guide",
        metavar="MODEL",
        help="DA-CLIP or CLIP of a network with a context (default: the one that the checkpoint "
        "names)",
    )


def _add_files(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--format",
        choices=FORMATS,
        help="format of the results; same: that of the photo (default: png)",
    )
    group.add_argument(
        "--quality",
        type=int,
        metavar="N",
        help=f"quality of JPEG and WebP files, 1 to 100 (default: {QUALITY})",
    )


def _add_computing(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--tile",
        type=int,
        metavar="PIXELS",
        help="side of the tiles; 0 for whole photos (default: whole photos if they fit into "
        "memory, otherwise the largest tiles that do)",
    )
    group.add_argument(
        "--overlap",
        type=int,
        metavar="PIXELS",
        help="overlap of neighbouring tiles (default: chosen from the receptive field)",
    )
    group.add_argument(
        "--batch", type=int, default=1, metavar="N", help="tiles in one forward pass"
    )
    group.add_argument(
        "--precision", choices=PRECISIONS, default="fp32", help="precision of the forward pass"
    )
    add_device(group)


def _add_sampling(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="sampling steps for each photo (default: the steps of the training)",
    )
    group.add_argument("--sampler", choices=METHODS, help="sampling equation (default: posterior)")
    group.add_argument(
        "--stride",
        type=int,
        metavar="PIXELS",
        help="distance between patches of WeatherDiff; 4 is slower and better (default: 16)",
    )
    group.add_argument("--seed", type=int, metavar="N", help="seed of the noise (default: 0)")
    group.add_argument(
        "--frames",
        action="store_true",
        help="treat the photos as video frames: start all of them from the same noise",
    )


def run(args: argparse.Namespace) -> int:
    """Restore every photo; list failures at the end and return 1 if there are any."""
    started = time.monotonic()
    check(args)
    sources = [read_source(path, args.output) for path in args.photos]
    if args.frames:
        check_sizes(photo for source in sources for photo in source.photos)
    jobs = plan(sources, args.output, args.format)
    if others := [file for source in sources for file in source.others]:
        print(skipped_line(others))
    # target -> photo, for the results that do not exist yet.
    pending = dict(jobs)
    if not args.overwrite:
        pending = {target: photo for target, photo in jobs.items() if not target.exists()}
    if len(pending) < len(jobs):
        print(_existing_line(len(jobs) - len(pending), len(jobs), args.output))
    failures = restore_all(pending, args) if pending else []
    for failure in failures:
        print(f"failed: {failure}")
    print(_summary(len(pending) - len(failures), time.monotonic() - started, args.output))
    return 1 if failures else 0


def downloads(args: argparse.Namespace) -> list[str]:
    """Return the published methods whose files `--download` fetches."""
    if not args.method:
        raise WxrError("--download is for the weights of a --method; leave it out, or add one")
    return [] if args.checkpoint else [args.method]


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
    if problems:
        raise WxrError("; ".join(problems))


def _existing_line(count: int, total: int, output: Path) -> str:
    if names_file(output):
        return f"{output} exists (--overwrite restores it again)"
    return f"{count} of {total} results exist in {output} (--overwrite restores them again)"


def _summary(count: int, seconds: float, output: Path) -> str:
    return f"{counted(count)} restored in {duration(seconds)}: {output}"


def restore_all(jobs: Mapping[Path, Path], args: argparse.Namespace) -> list[str]:
    """Restore `jobs` (target -> photo) under a progress bar; return a line for each failure."""
    restorer = load_restorer(args)
    # On a GPU torch itself caches freed memory; on a CPU glibc has to be asked to.
    if restorer.device.type == "cpu":
        reuse_memory()
    print(run_line(restorer, args.method, args.checkpoint))
    if not args.method and not args.checkpoint:
        print(OTHERS)
    outcomes = restore_files(jobs, restorer, QUALITY if args.quality is None else args.quality)
    with RestoreBar(restorer, len(jobs)) as bar:
        return [outcome.error for outcome in bar.follow(outcomes) if outcome.error]
