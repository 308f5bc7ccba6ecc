"""`wxr restore`: remove rain, haze and snow from photographs."""

import argparse
from pathlib import Path

from wxr_plugin.errors import WxrError

EXAMPLE = """example:
  wxr restore holiday/ -o restored/
  wxr restore rain.jpg --checkpoint experiments/mine/models/net_g_latest.pth --tile 512 -o restored/
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `restore` to the `wxr` command."""
    parser = subparsers.add_parser(
        "restore",
        help="restore photos with a trained network",
        description="Remove rain, haze and snow from photos of any size; the results are PNG files.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", nargs="+", type=Path, help="photos or folders of photos")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the results")
    parser.add_argument("--checkpoint", default="tiny", help=".pth or .safetensors (default: the packaged one)")
    parser.add_argument("--opt", type=Path, help="option file with the network_g of a checkpoint that does not name it")
    parser.add_argument("--tile", type=int, default=1024, help="cut larger photos into tiles of this side; 0: never")
    parser.add_argument("--overlap", type=int, default=32, help="pixels that neighbouring tiles share")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 … (default: cuda where there is one)")
    parser.add_argument("--overwrite", action="store_true", help="restore again what the folder already holds")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Restore every photo; files that fail are listed at the end and make the exit code 1."""
    jobs = plan(args.photos, args.output)
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
    """Map each result file to its photo; two photos that would write one file are an error."""
    from wxr_plugin.data.image_io import list_images

    jobs: dict[Path, Path] = {}
    for source in sources:
        if not source.exists():
            raise WxrError(f"{source}: no such file or folder")
        photos = list_images(source) if source.is_dir() else [source]
        if not photos:
            raise WxrError(f"{source}: no images in this folder")
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
    from rich.progress import track

    from wxr_plugin.data.image_io import BadImageError, read_image, write_image
    from wxr_plugin.inference.restorer import RestoreError, Restorer

    network = read_network_block(args.opt) if args.opt else None
    restorer = Restorer.from_checkpoint(
        args.checkpoint, network, device=args.device, tile=args.tile or None, overlap=args.overlap
    )
    failures = []
    for target, photo in track(jobs.items(), description="restoring", total=len(jobs)):
        try:
            write_image(target, restorer.restore(read_image(photo)))
        except (BadImageError, OSError) as error:
            failures.append(str(error))
        except RestoreError as error:
            failures.append(f"{photo}: {error}")
    return failures


def read_network_block(path: Path) -> dict:
    """The `network_g` block of an option file; WxrError if it has none."""
    from wxr_plugin import options

    opt = options.load(str(path))
    if not isinstance(opt.get("network_g"), dict):
        raise WxrError(f"{path} has no network_g block")
    options.import_plugins(opt)
    return opt["network_g"]
