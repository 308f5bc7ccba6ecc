"""`wxr restore`: remove rain, haze and snow from photographs."""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from wxr_plugin.errors import WxrError
from wxr_plugin.inference.frames import check_sizes
from wxr_plugin.inference.jobs import FORMATS, names_file, plan, result_kind, skipped_line

if TYPE_CHECKING:
    from wxr_plugin.inference.diffusion import Diffusion, PatchDiffusion
    from wxr_plugin.inference.restorer import Restorer
    from wxr_plugin.inference.specs import RestorerSpec

METHODS = ("posterior", "sde", "ode")
"""As in wxr_plugin.sampling.sampler, which imports torch."""
PRECISIONS = ("fp32", "bf16", "fp16")
"""As in wxr_plugin.inference.fit, which imports torch."""
QUALITY = 95

EXAMPLE = """examples:
  wxr restore holiday/ -o restored/
  wxr restore rain.jpg -o dry.png
  wxr restore rain.jpg --checkpoint experiments/mine/models/net_g_latest.pth --tile 512 -o restored/
  wxr restore holiday/ --method restormer-derain --format same --quality 90 -o restored/
  wxr restore panorama.tif --precision bf16 --tile 768 --overlap 96 --batch 4 --device cuda -o restored/
  wxr restore frames/ --checkpoint experiments/irsde/models/net_g_latest.pth --frames -o restored/
  wxr restore street.jpg --method daclip --checkpoint universal-ir.pth --guide daclip_ViT-B-32.pt --seed 1 -o restored/

The same call again continues one that was stopped: results that are there are kept. Results never go into a folder
that holds the photos. Photos that fail are listed at the end and make the exit code 1; 2 means that nothing could be
done. More in docs/restore.md.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `restore` to the `wxr` command."""
    parser = subparsers.add_parser(
        "restore",
        help="restore photos with a trained network",
        description="Remove rain, haze, snow and what else a network was trained for from photos of any size. Grey "
        "photos stay grey, 16 bits stay 16, transparency is kept, and photos are turned upright. A "
        "network that is "
        "steered by a DA-CLIP also tells what it took for the degradation.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", nargs="+", type=Path, help="photos or folders of photos")
    where = "folder for the results; for one photo also a file (dry.png)"
    parser.add_argument("-o", "--output", type=Path, required=True, help=where)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        action="append",
        help=".pth, .safetensors, or the packaged tiny (default) or small; once for each file of a method with several",
    )
    parser.add_argument(
        "--opt",
        type=Path,
        help="option file with the network_g of a checkpoint that does not name it",
    )
    parser.add_argument(
        "--method", help="a published method with its official files; wxr zoo list shows them"
    )
    parser.add_argument(
        "--instruction", help="words for a method that takes some, in place of the published ones"
    )
    parser.add_argument(
        "--guide",
        help="DA-CLIP or CLIP of a network that takes a context (default: the checkpoint tells)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="restore again what the folder already holds"
    )
    _add_files(parser.add_argument_group("results"))
    _add_means(parser.add_argument_group("memory and speed"))
    _add_sampling(parser.add_argument_group("networks that are sampled"))
    parser.set_defaults(func=run)


def _add_files(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--format", choices=FORMATS, help="of the results; same: each photo's own (png)"
    )
    group.add_argument("--quality", type=int, help=f"1 to 100, of jpg and webp ({QUALITY})")


def _add_means(group: argparse._ArgumentGroup) -> None:
    tile = "side of tiles in pixels; 0: whole photos (default: whole, or the largest tiles that fit into memory)"
    group.add_argument("--tile", type=int, help=tile)
    overlap = (
        "pixels that neighbouring tiles share (default: chosen from how far the network looks)"
    )
    group.add_argument("--overlap", type=int, help=overlap)
    group.add_argument(
        "--batch", type=int, default=1, help="tiles that go through the network together (1)"
    )
    group.add_argument(
        "--precision", choices=PRECISIONS, default="fp32", help="of the network's numbers (fp32)"
    )
    group.add_argument("--device", help="cpu, cuda, cuda:1 … (default: cuda where there is one)")


def _add_sampling(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--steps", type=int, help="forward passes a photo (default: as many as were trained)"
    )
    group.add_argument("--sampler", choices=METHODS, help="how a step is made (default: posterior)")
    group.add_argument(
        "--stride",
        type=int,
        help="pixels from patch to patch, for WeatherDiff (16; 4: slower, better)",
    )
    group.add_argument("--seed", type=int, help="of the noise (default: 0)")
    group.add_argument(
        "--frames",
        action="store_true",
        help="the photos are a video's: all start from the same noise",
    )


def run(args: argparse.Namespace) -> int:
    """Restore every photo; files that fail are listed at the end and make the exit code 1."""
    started = time.monotonic()
    check(args)
    jobs = plan(args.photos, args.output, args.format)
    skipped = skipped_line(args.photos, args.output)
    if skipped:
        print(skipped)
    if args.frames:
        check_sizes(jobs.values())
    todo = {
        target: photo for target, photo in jobs.items() if args.overwrite or not target.exists()
    }
    if len(todo) < len(jobs):
        print(_kept_line(len(jobs) - len(todo), len(jobs), args.output))
    failures = restore_all(todo, args) if todo else []
    for failure in failures:
        print(f"failed: {failure}")
    print(_summary(len(todo) - len(failures), time.monotonic() - started, args.output))
    return 1 if failures else 0


def _kept_line(kept: int, total: int, output: Path) -> str:
    if names_file(output):
        return f"{output} is there already (--overwrite restores it again)"
    return f"{kept} of {total} are already in {output} (--overwrite restores them again)"


def _summary(count: int, seconds: float, output: Path) -> str:
    from wxr_plugin.inference.display import counted, duration

    return f"{counted(count)} restored in {duration(seconds)}: {output}"


def check(args: argparse.Namespace) -> None:
    """Raise WxrError that tells every option that is out of its range or has no effect."""
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
        problems.append(
            "--quality is for jpg and webp; PNG loses nothing: leave it out, or give --format"
        )
    if problems:
        raise WxrError("; ".join(problems))


def restore_all(jobs: Mapping[Path, Path], args: argparse.Namespace) -> list[str]:
    """Print what is run, restore `jobs` under a progress bar and return a line for each photo that failed."""
    from wxr_plugin.inference.display import PACKAGED, RestoreBar, run_line
    from wxr_plugin.inference.memory import reuse_memory
    from wxr_plugin.inference.pipeline import restore_files

    restorer = load_restorer(args)
    if restorer.device.type == "cpu":
        reuse_memory()
    print(run_line(restorer, args.method, args.checkpoint))
    if not args.method and not args.checkpoint:
        print(PACKAGED)
    outcomes = restore_files(jobs, restorer, QUALITY if args.quality is None else args.quality)
    with RestoreBar(restorer, len(jobs)) as bar:
        return [outcome.error for outcome in bar.follow(outcomes) if outcome.error]


def load_restorer(args: argparse.Namespace) -> "Restorer":
    """The restorer that the options name. Raises WxrError for options that do not go together."""
    from wxr_plugin.sampling.options import SamplingOptions

    asked = {"steps": args.steps, "method": args.sampler, "seed": args.seed}
    asked = {key: value for key, value in asked.items() if value is not None}
    tile = "auto" if args.tile is None else args.tile or None
    settings = {"device": args.device, "tile": tile, "overlap": args.overlap, "batch": args.batch}
    for key, least in (("steps", 1), ("seed", 0)):
        if asked.get(key, least) < least:
            raise WxrError(f"--{key} {asked[key]}: take {least} or more")
    restorer = _spec(args).load(
        **settings, precision=args.precision, sampling=SamplingOptions.read(asked)
    )
    if restorer.diffusion:
        restorer.diffusion = restorer.diffusion.checked(args.frames)
    elif asked or args.frames:
        raise WxrError(
            "--steps, --sampler, --seed and --frames are for networks that are sampled, which this "
            "one is not: leave "
            "them out"
        )
    if args.stride is not None:
        restorer.diffusion = _with_stride(restorer.diffusion, args.stride)
    if args.guide and not restorer.guide:
        raise WxrError(
            "--guide: this network takes no context, so nothing would come of it; leave it out"
        )
    return restorer


def _with_stride(diffusion: "Diffusion | PatchDiffusion | None", stride: int) -> "PatchDiffusion":
    from wxr_plugin.inference.diffusion import PatchDiffusion

    if not isinstance(diffusion, PatchDiffusion):
        raise WxrError(
            "--stride is for networks that are sampled in patches (WeatherDiff); leave it out"
        )
    return diffusion.with_stride(stride)


def _spec(args: argparse.Namespace) -> "RestorerSpec":
    from wxr_plugin.inference.packaged import checkpoint_path
    from wxr_plugin.inference.specs import RestorerSpec, method_spec

    if args.method and args.opt:
        raise WxrError("--method says which network it is; leave --opt out, or --method")
    if args.method:
        return method_spec(args.method, args.checkpoint, args.guide, args.instruction)
    given = args.checkpoint or [Path("tiny")]
    if len(given) > 1:
        raise WxrError("--checkpoint: several files are for a --method that has several; give one")
    if args.instruction:
        raise WxrError("--instruction is for a --method that takes one; leave it out")
    opt = read_options(args.opt) if args.opt else {}
    guide = args.guide or (opt.get("guide") or {}).get("model")
    return RestorerSpec(
        "", checkpoint_path(given[0]), opt.get("network_g"), guide=guide, sde=opt.get("sde")
    )


def read_options(path: Path) -> dict:
    """An option file with its plug-ins imported; WxrError if it has no `network_g` block."""
    from wxr_plugin.options import files as option_files

    opt = option_files.load(str(path))
    if not isinstance(opt.get("network_g"), dict):
        raise WxrError(f"{path} has no network_g block")
    option_files.import_plugins(opt)
    return opt
