"""`wxr restore`: remove rain, haze and snow from photographs."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wxr_plugin.errors import WxrError
from wxr_plugin.inference.frames import UNPACK, check_sizes, in_order, refuse_video

if TYPE_CHECKING:
    from wxr_plugin.inference.restorer import Restorer
    from wxr_plugin.inference.specs import RestorerSpec

METHODS = ("posterior", "sde", "ode")
"""As in wxr_plugin.sampling.sampler, which imports torch."""

EXAMPLE = """examples:
  wxr restore holiday/ -o restored/
  wxr restore rain.jpg --checkpoint experiments/mine/models/net_g_latest.pth --tile 512 -o restored/
  wxr restore frames/ --checkpoint experiments/irsde/models/net_g_latest.pth --frames -o restored/
  wxr restore street.jpg --method daclip --checkpoint universal-ir.pth --guide daclip_ViT-B-32.pt --seed 1 -o restored/
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `restore` to the `wxr` command."""
    parser = subparsers.add_parser(
        "restore",
        help="restore photos with a trained network",
        description="Remove rain, haze, snow and what else a network was trained for from photos of any size; the "
        "results are PNG files. A network that is steered by a DA-CLIP also tells what it took for the degradation.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", nargs="+", type=Path, help="photos or folders of photos")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the results")
    parser.add_argument("--checkpoint", type=Path, help=".pth or .safetensors (default: the packaged one)")
    parser.add_argument("--opt", type=Path, help="option file with the network_g of a checkpoint that does not name it")
    parser.add_argument("--method", help="a published method with its official files: daclip, daclip-mix, wild-daclip")
    parser.add_argument("--guide", help="DA-CLIP of a network that takes a context (default: the checkpoint tells)")
    parser.add_argument("--tile", type=int, default=1024, help="cut larger photos into tiles of this side; 0: never")
    parser.add_argument("--overlap", type=int, default=32, help="pixels that neighbouring tiles share")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 … (default: cuda where there is one)")
    parser.add_argument("--overwrite", action="store_true", help="restore again what the folder already holds")
    group = parser.add_argument_group("networks that are sampled")
    group.add_argument("--steps", type=int, help="forward passes a photo (default: as many as were trained)")
    group.add_argument("--sampler", choices=METHODS, help="how a step is made (default: posterior)")
    group.add_argument("--seed", type=int, help="of the noise (default: 0)")
    group.add_argument("--frames", action="store_true", help="the photos are a video's: all start from the same noise")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Restore every photo; files that fail are listed at the end and make the exit code 1."""
    jobs = plan(args.photos, args.output)
    if args.frames:
        check_sizes(jobs.values())
    if args.tile and not 0 <= args.overlap < args.tile:
        raise WxrError(f"--overlap {args.overlap} must be smaller than --tile {args.tile}")
    todo = {target: photo for target, photo in jobs.items() if args.overwrite or not target.exists()}
    if len(todo) < len(jobs):
        print(f"{len(jobs) - len(todo)} of {len(jobs)} are already in {args.output} (--overwrite restores them again)")
    failures = restore_all(todo, args) if todo else []
    for failure in failures:
        print(f"failed: {failure}")
    print(f"{len(todo) - len(failures)} photos restored into {args.output}")
    return 1 if failures else 0


def plan(sources: list[Path], output: Path) -> dict[Path, Path]:
    """Map each result file to its photo, those of a folder in the order in which people count.

    Raises WxrError for two photos that would write one file, and for sources that hold none.
    """
    from wxr_plugin.data.image_io import SUFFIXES, list_images

    jobs: dict[Path, Path] = {}
    for source in sources:
        if not source.exists():
            raise WxrError(f"{source}: no such file or folder")
        refuse_video(source)
        photos = in_order(list_images(source)) if source.is_dir() else [source]
        if not photos:
            raise WxrError(f"{source}: no images in this folder (looked for {', '.join(SUFFIXES)}); {UNPACK}")
        for photo in photos:
            name = photo.relative_to(source) if source.is_dir() else Path(photo.name)
            target = output / name.with_suffix(".png")
            if target in jobs:
                raise WxrError(f"{photo} and {jobs[target]} would both become {target}; restore them in two calls")
            if target.resolve() == photo.resolve():
                raise WxrError(f"{photo} would be overwritten by its own result; choose another folder with -o")
            jobs[target] = photo
    return jobs


def restore_all(jobs: dict[Path, Path], args: argparse.Namespace) -> list[str]:
    """Restore `jobs` under a progress bar and return a line for each photo that failed."""
    from rich.progress import Progress

    from wxr_plugin.data.image_io import BadImageError, read_image, write_image
    from wxr_plugin.inference.restorer import RestoreError

    restorer, failures = load_restorer(args), []
    with Progress() as progress:
        for target, photo in progress.track(jobs.items(), total=len(jobs), description="restoring"):
            try:
                image = read_image(photo)
                write_image(target, restorer.restore(image))
                if restorer.guide:
                    word, chance = restorer.degradation()
                    progress.console.print(f"{photo}: {word} {chance:.1%}", highlight=False, soft_wrap=True)
            except (BadImageError, OSError) as error:
                failures.append(str(error))
            except RestoreError as error:
                failures.append(f"{photo}: {error}")
    return failures


def load_restorer(args: argparse.Namespace) -> "Restorer":
    """The restorer that the options name. Raises WxrError for options that do not go together."""
    from wxr_plugin.sampling.options import SamplingOptions

    asked = {"steps": args.steps, "method": args.sampler, "seed": args.seed}
    asked = {key: value for key, value in asked.items() if value is not None}
    settings = {"device": args.device, "tile": args.tile or None, "overlap": args.overlap}
    for key, least in (("steps", 1), ("seed", 0)):
        if asked.get(key, least) < least:
            raise WxrError(f"--{key} {asked[key]}: take {least} or more")
    restorer = _spec(args).load(**settings, sampling=SamplingOptions.read(asked))
    if restorer.diffusion:
        restorer.diffusion = restorer.diffusion.checked(args.frames)
    elif asked or args.frames:
        raise WxrError(
            "--steps, --sampler, --seed and --frames are for networks that are sampled, which this one is not: leave "
            "them out"
        )
    if args.guide and not restorer.guide:
        raise WxrError("--guide: this network takes no context, so nothing would come of it; leave it out")
    return restorer


def _spec(args: argparse.Namespace) -> "RestorerSpec":
    from wxr_plugin.inference.methods import method_spec
    from wxr_plugin.inference.restorer import TINY
    from wxr_plugin.inference.specs import RestorerSpec

    if args.method and args.opt:
        raise WxrError("--method says which network it is; leave --opt out, or --method")
    if args.method:
        return method_spec(args.method, args.checkpoint, args.guide)
    opt = read_options(args.opt) if args.opt else {}
    guide = args.guide or (opt.get("guide") or {}).get("model")
    is_tiny = args.checkpoint in (None, Path("tiny"))
    return RestorerSpec("", TINY if is_tiny else args.checkpoint, opt.get("network_g"), guide=guide, sde=opt.get("sde"))


def read_options(path: Path) -> dict:
    """An option file with its plug-ins imported; WxrError if it has no `network_g` block."""
    from wxr_plugin import options

    opt = options.load(str(path))
    if not isinstance(opt.get("network_g"), dict):
        raise WxrError(f"{path} has no network_g block")
    options.import_plugins(opt)
    return opt
