"""`wxr restore`: remove rain, haze and snow from photographs."""

import argparse
from pathlib import Path
from typing import get_args

from wxr_plugin.cli.downloading import add_download, after_download
from wxr_plugin.cli.parsers import add_command, add_device, add_offline
from wxr_plugin.cli.sharding import add_shard
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.packaged import ENGINES, Precision
from wxr_plugin.sampling.methods import METHODS
from wxr_plugin.utils.files import check_parents
from wxr_plugin.utils.json_output import add_json, json_result

FORMATS = ("png", "jpg", "webp", "same")
"""Of results; `same` is each photo's own."""

DESCRIPTION = """
Restore photos of any size: remove rain, haze, snow, or any other degradation that the network was
trained for. Greyscale and 16-bit photos keep their format, transparency is preserved, and the EXIF
orientation is applied. A network guided by a DA-CLIP also prints the degradation that it detected.

A video (.mp4, .mkv, .mov, .webm and others, or a pattern such as frames/%04d.png) is restored
frame by frame; sound and subtitles are copied.

Existing results are kept, so the same call resumes an interrupted one. Results are never written
into a folder that holds the photos.
"""
EXAMPLES = """examples:
  wxr restore holiday/ -o restored/
  wxr restore holiday/ -o restored/ --dry-run
  wxr restore holiday/ -o restored/ --shard 1/4
  wxr restore rain.jpg -o dry.png
  wxr restore rain.jpg -o restored/ --checkpoint experiments/mine/models/net_g_latest.pth
  wxr restore rain.jpg -o restored/ --checkpoint hf://OWNER/NAME
  wxr restore holiday/ -o restored/ --method restormer-derain --format same --quality 90
  wxr restore rain.jpg -o restored/ --method prenet-rain100h --download
  wxr restore panorama.tif -o restored/ --precision bf16 --tile 768 --overlap 96 --batch 4
  wxr restore holiday/ -o restored/ --engine openvino --precision bf16
  wxr restore frames/ -o restored/ --checkpoint experiments/irsde/models/net_g_latest.pth --frames
  wxr restore drive.mp4 -o clear.mp4 --smooth 0.8
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
        "photos", nargs="+", type=Path, metavar="PHOTOS", help="photo, folder of photos, or video"
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
    add_shard(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="list the photos and their results; restore nothing"
    )
    add_json(parser, "photos, results and failures")
    parser.set_defaults(func=after_download(run, downloads))
    _add_network(parser.add_argument_group("network"))
    _add_files(parser.add_argument_group("output files"))
    _add_computing(parser.add_argument_group("memory and speed"))
    _add_sampling(parser.add_argument_group("diffusion networks"))
    _add_video(parser.add_argument_group("videos"))


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--checkpoint",
        type=Path,
        action="append",
        metavar="FILE",
        help="weights (.pth, .safetensors), hf://OWNER/NAME[@REVISION][/FILE] on the hub, or the "
        "packaged tiny or small; repeat for a method with several files (default: small)",
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
        help="quality of JPEG and WebP files, 1 to 100 (default: 95)",
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
        "--precision",
        choices=get_args(Precision),
        default="fp32",
        help="precision of the forward pass",
    )
    group.add_argument(
        "--engine",
        choices=ENGINES,
        default="torch",
        help="what runs the network; auto: the fastest one that is installed and verified "
        "(default: torch)",
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


def _add_video(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--smooth",
        type=float,
        default=0.0,
        metavar="A",
        help="average the network's change of brightness and contrast over time, against flicker: "
        "c[t] = A c[t-1] + (1 - A) of the frame's own (default: 0, off)",
    )
    group.add_argument(
        "--rate",
        type=float,
        metavar="N",
        help="frames a second of a sequence of images (default: 25)",
    )


def run(args: argparse.Namespace) -> int:
    """Restore every photo; return 1 if some failed."""
    # Imported here, since they need torch and the networks.
    from wxr_plugin.cli import restore_run, restore_video
    from wxr_plugin.cli.restore_plan import names_file

    is_video = restore_video.names_video(args.photos)
    if is_video and args.shard:
        raise WxrError(f"{args.photos[0]} is a video, which has no shards; leave out --shard")
    if not is_video:
        # A result below -o stands for all of them.
        check_parents(args.output if names_file(args.output) else args.output / "result")
    with json_result(args.json) as result:
        result.update(restore_video.run(args) if is_video else restore_run.run(args))
    return 1 if result["failed"] else 0


def downloads(args: argparse.Namespace) -> list[str]:
    """Return the published methods whose files `--download` fetches."""
    if not args.method:
        raise WxrError("--download is for the weights of a --method; leave it out, or add one")
    return [] if args.checkpoint else [args.method]
