"""Speed of restoring a folder: `wxr restore`'s engine, spandrel in a loop, and a tiler.

    python benchmarks/restore_speed.py                                   # 24 generated photos of 1
    to 12 megapixels python benchmarks/restore_speed.py --photos PHOTOS --count 6 --smallest 0.5
    --largest 2         # slow machines

With `--engines openvino-bf16` and others the network runs in exported engines as well. All run the
same NAFNet (random weights, or --checkpoint, a file that spandrel knows) over the
same JPEGs and write
PNGs: ours whole and in tiles, spandrel's descriptor called whole on each photo by a loop of imread,
model and imwrite, and a tiler as Real-ESRGAN has it (image and result on the device, tiles padded
by 10 pixels, cropped and pasted). Each has a process of its own, and they take turns in an order
that rotates. Time is the clock's, from the first photo to the last file, after a warm-up. Memory is
the largest resident set less that before the first photo, on a GPU what torch allocated. A ratio is
of the same round; medians are printed, and the quartiles of ratios.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

import wxr_plugin  # noqa: F401

# isort: split
from torch import Tensor

from wxr_plugin.data.images.io import list_images, read_image, write_image

ENGINES = ("wxr_whole", "spandrel_whole", "wxr_tiled", "esrgan_tiled")
EXPORTED = {
    "onnxruntime": ("onnxruntime", "fp32"),
    "openvino": ("openvino", "fp32"),
    "openvino-bf16": ("openvino", "bf16"),
}
"""Word of --engines -> engine and precision of `wxr restore`."""
PAIRS = (("wxr_whole", "spandrel_whole", 1.0), ("wxr_tiled", "esrgan_tiled", 1.2))
AIMS = {"onnxruntime": 3.0, "openvino": 3.0, "openvino-bf16": 3.5}
"""Times as fast as spandrel's loop that an exported engine shall be, in tiles."""
TILES_AIM = 2.5
"""Times as fast as the tiler."""
TILE_PAD = 10


def make_photos(folder: Path, args: argparse.Namespace) -> None:
    """Write JPEGs of 3:2 whose sizes grow evenly, out of `args.photos` or of noise."""
    sources = list_images(args.photos) if args.photos else []
    rng = np.random.default_rng(0)
    for number, size in enumerate(np.linspace(args.smallest, args.largest, args.count)):
        height = round((size * 1e6 * 2 / 3) ** 0.5)
        noise = rng.integers(0, 256, (60, 90, 3), np.uint8)
        start = read_image(sources[number % len(sources)]) if sources else noise
        photo = cv2.resize(start, (height * 3 // 2, height), interpolation=cv2.INTER_CUBIC)
        grain = rng.normal(0, 3, photo.shape)
        write_image(
            folder / f"{number:02}.jpg", (photo + grain).clip(0, 255).astype(np.uint8), quality=92
        )


def make_checkpoint(file: Path, width: int) -> None:
    """Save a NAFNet of three levels with random weights as BasicSR does.

    spandrel infers its options from the weights.
    """
    from basicsr.archs import build_network

    network = {"type": "NAFNet", "width": width, "enc_blk_nums": [1, 1, 1], "middle_blk_num": 1}
    network["dec_blk_nums"] = [1, 1, 1]
    torch.manual_seed(0)
    torch.save({"params": build_network(dict(network)).state_dict(), "network_g": network}, file)


def ours(
    checkpoint: Path,
    tile: int | None,
    args: argparse.Namespace,
    engine: str = "torch",
    precision: str | None = None,
) -> Callable[[list[Path], Path], object]:
    """Run `wxr restore` with an engine."""
    from wxr_plugin.inference.memory import reuse_memory
    from wxr_plugin.inference.pipeline import restore_files
    from wxr_plugin.inference.restorer import Restorer

    reuse_memory()
    restorer = Restorer.from_checkpoint(
        checkpoint,
        device=args.device,
        tile=tile,
        overlap=args.overlap,
        precision=precision or args.precision,
        batch=args.batch,
        engine=engine,
    )

    def restore(photos: list[Path], output: Path) -> None:
        jobs = {output / f"{photo.stem}.png": photo for photo in photos}
        failed = [outcome.error for outcome in restore_files(jobs, restorer) if outcome.error]
        assert not failed, failed

    return restore


def theirs(
    checkpoint: Path, tile: int | None, args: argparse.Namespace
) -> Callable[[list[Path], Path], object]:
    """Run spandrel's descriptor, whole or under the tiler, in a loop as a user would write it."""
    import spandrel_extra_arches
    from spandrel import ModelLoader

    spandrel_extra_arches.install(ignore_duplicates=True)
    model = ModelLoader(device=args.device).load_from_file(str(checkpoint)).eval()

    @torch.no_grad()
    def restore(photos: list[Path], output: Path) -> None:
        for photo in photos:
            image = cv2.cvtColor(cv2.imread(str(photo)), cv2.COLOR_BGR2RGB)
            lq = torch.from_numpy(image).permute(2, 0, 1).float().div(255)[None].to(args.device)
            with torch.autocast(
                torch.device(args.device).type, torch.bfloat16, enabled=args.precision == "bf16"
            ):
                restored = esrgan_tiles(model, lq, tile) if tile else model(lq)
            pixels = (
                restored.float()
                .clamp(0, 1)
                .mul(255)
                .round()
                .byte()[0]
                .permute(1, 2, 0)
                .cpu()
                .numpy()
            )
            cv2.imwrite(str(output / f"{photo.stem}.png"), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))

    return restore


def esrgan_tiles(model: Callable[[Tensor], Tensor], lq: Tensor, tile: int) -> Tensor:
    """Restore adjacent tiles, each with up to TILE_PAD more pixels a side, which are cropped."""
    height, width = lq.shape[-2:]
    restored = torch.zeros_like(lq)
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            bottom, right = min(y + tile, height), min(x + tile, width)
            above, left = max(y - TILE_PAD, 0), max(x - TILE_PAD, 0)
            part = model(
                lq[..., above : min(bottom + TILE_PAD, height), left : min(right + TILE_PAD, width)]
            )
            restored[..., y:bottom, x:right] = part[
                ..., y - above : bottom - above, x - left : right - left
            ]
    return restored


def work(engine: str, folder: Path, args: argparse.Namespace) -> None:
    """Restore the photos of `folder` with one engine and print seconds and MiB."""
    torch.set_num_threads(args.threads)
    word, _, cut = engine.rpartition("_")
    tile = args.tile if cut == "tiled" else None
    if word in EXPORTED:
        restore = ours(args.checkpoint, tile, args, *EXPORTED[word])
    else:
        make = ours if word == "wxr" else theirs
        restore = make(args.checkpoint, tile, args)
    photos = list_images(folder / "photos")
    with tempfile.TemporaryDirectory() as output:
        restore([folder / "warm.jpg"], Path(output))
        before = _memory(args.device)
        start = time.perf_counter()
        restore(photos, Path(output))
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "mib": _memory(args.device) - before}))


def _memory(device: str) -> float:
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rounds(folder: Path, args: argparse.Namespace) -> Iterator[dict[str, dict[str, float]]]:
    """Yield, for each round, the printed result of each engine's process."""
    for number in range(args.rounds):
        results = {}
        engines = engines_of(args)
        turn = number % len(engines)
        for engine in [*engines[turn:], *engines[:turn]]:
            command = [
                sys.executable,
                __file__,
                *sys.argv[1:],
                "--worker",
                engine,
                "--folder",
                str(folder),
            ]
            command += ["--checkpoint", str(args.checkpoint)]
            results[engine] = json.loads(
                subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
            )
        print(f"round {number + 1}: {results}", file=sys.stderr)
        yield results


def engines_of(args: argparse.Namespace) -> list[str]:
    """Return the four engines, then each of --engines whole and in tiles."""
    exported = [f"{word}_{cut}" for word in args.engines for cut in ("whole", "tiled")]
    return [*ENGINES, *exported]


def pairs_of(args: argparse.Namespace) -> Iterator[tuple[str, str, float]]:
    """Yield (ours, rival, aim): both ways against spandrel's loop, tiles against the tiler."""
    yield from PAIRS
    for word in args.engines:
        yield f"{word}_whole", "spandrel_whole", AIMS[word]
        yield f"{word}_tiled", "spandrel_whole", AIMS[word]
        yield f"{word}_tiled", "esrgan_tiled", TILES_AIM
        yield f"{word}_tiled", "wxr_tiled", 1.5


def report(
    results: list[dict[str, dict[str, float]]], megapixels: float, args: argparse.Namespace
) -> None:
    """Print a line an engine, and the ratios of pairs."""
    for engine in engines_of(args):
        speed = statistics.median(megapixels / row[engine]["seconds"] for row in results)
        mib = statistics.median(row[engine]["mib"] for row in results)
        print(f"{engine:19} {speed:7.2f} megapixels/s {mib:8.0f} MiB")
    for mine, rival, aim in pairs_of(args):
        ratios = [row[rival]["seconds"] / row[mine]["seconds"] for row in results]
        low, middle, high = (
            statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
        )
        mib = statistics.median(row[rival]["mib"] / max(row[mine]["mib"], 1) for row in results)
        print(
            f"{mine} / {rival}: {middle:.2f} ({low:.2f} to {high:.2f}; aim {aim}) times as fast, "
            f"{mib:.2f} less memory"
        )


def main() -> None:
    """Make the photos, let the engines take turns, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", type=Path, help="folder of photos that are resized (default: coloured noise)"
    )
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--smallest", type=float, default=1, help="megapixels")
    parser.add_argument("--largest", type=float, default=12, help="megapixels")
    parser.add_argument("--width", type=int, default=8, help="channels of the network")
    parser.add_argument(
        "--checkpoint", type=Path, help="a file that names its network_g and that spandrel knows"
    )
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument(
        "--overlap", type=int, default=32, help="of ours; the tiler pads by 10 on every side"
    )
    parser.add_argument("--batch", type=int, default=1, help="tiles at once, ours")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of all")
    parser.add_argument(
        "--engines",
        nargs="*",
        default=[],
        choices=EXPORTED,
        help="exported engines of `wxr restore`, whole and in tiles, in addition",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args.worker, args.folder, args)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_photos(folder / "photos", args)
        write_image(folder / "warm.jpg", np.full((96, 96, 3), 128, np.uint8))
        args.checkpoint = args.checkpoint or folder / "net.pth"
        if not args.checkpoint.exists():
            make_checkpoint(args.checkpoint, args.width)
        sizes = (read_image(photo).size / 3e6 for photo in list_images(folder / "photos"))
        report(list(rounds(folder, args)), sum(sizes), args)


if __name__ == "__main__":
    main()
