"""Restoring photos: our engine, spandrel in a loop, a Real-ESRGAN-style tiler, and precisions."""

from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn.utils import convert_conv2d_weight_memory_format

import wxr_plugin  # noqa: F401

# isort: split
from basicsr.archs import build_network

from benchmarks import restore_speed
from benchmarks.gpu.bench import Bench, Figure
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.packaged_photos import packaged_photo
from wxr_plugin.inference.restorer import Restorer

NETWORK = {"type": "NAFNet", "width": 32, "enc_blk_nums": [1, 1, 1, 28], "middle_blk_num": 1}
NETWORK["dec_blk_nums"] = [1, 1, 1, 1]
"""As published for GoPro; BasicSR, spandrel and this package share its names of weights."""
TINY = {
    "type": "NAFNet",
    "width": 4,
    "enc_blk_nums": [1, 1],
    "middle_blk_num": 1,
    "dec_blk_nums": [1, 1],
}
ENGINES = {
    "wxr, whole": (restore_speed.ours, False),
    "spandrel in a loop, whole": (restore_speed.theirs, False),
    "wxr, tiles": (restore_speed.ours, True),
    "Real-ESRGAN-style tiler": (restore_speed.theirs, True),
}
MEGAPIXELS = (1, 2, 4, 6)
TINY_MEGAPIXELS = (0.005, 0.01)


def run(bench: Bench) -> None:
    """Measure the network alone, then files of photos through the four engines."""
    checkpoint = make_checkpoint(bench)
    for precision in ("fp32", "bf16"):
        for layout in (torch.contiguous_format, torch.channels_last):
            suffix = ", channels_last" if layout is torch.channels_last else ""
            name = f"network alone, {precision}{suffix}"
            bench.case(name, partial(network_alone, bench, checkpoint, precision, layout))
    photos = make_photos(bench)
    for precision in ("fp32",) if bench.tiny else ("fp32", "bf16"):
        for engine in ENGINES:
            name = f"files, {engine}, {precision}"
            bench.case(name, partial(files, bench, engine, precision, checkpoint, photos), 12)


def make_checkpoint(bench: Bench) -> Path:
    """Write NAFNet with random weights and return the file."""
    network = TINY if bench.tiny else NETWORK
    torch.manual_seed(0)
    file = bench.folder / "net.pth"
    torch.save({"params": build_network(dict(network)).state_dict(), "network_g": network}, file)
    return file


def make_photos(bench: Bench) -> list[Path]:
    """Write packaged photos of MEGAPIXELS as JPEGs and return the files."""
    sizes = TINY_MEGAPIXELS if bench.tiny else MEGAPIXELS
    return [_photo(bench.folder / f"{size}.jpg", size) for size in sizes]


def network_alone(
    bench: Bench, checkpoint: Path, precision: str, layout: torch.memory_format
) -> Figure:
    """Measure an image of a megapixel that is on the device already."""
    restorer = Restorer.from_checkpoint(checkpoint, device=str(bench.device), precision=precision)
    convert_conv2d_weight_memory_format(restorer.net, layout)
    side = 64 if bench.tiny else 1024
    image = torch.rand(1, 3, side, side, device=bench.device)
    return bench.time(partial(restorer.restore_tensor, image)).rate(side**2 / 1e6, "megapixels/s")


def files(
    bench: Bench, engine: str, precision: str, checkpoint: Path, photos: list[Path]
) -> Figure:
    """Measure from the first JPEG that is read to the last PNG that is written."""
    make, is_tiled = ENGINES[engine]
    tile = 64 if bench.tiny else 512
    settings = Namespace(device=str(bench.device), precision=precision, overlap=tile // 16, batch=1)
    restore: Callable = make(checkpoint, tile if is_tiled else None, settings)
    output = bench.folder / "restored"
    output.mkdir(exist_ok=True)
    megapixels = sum(cv2.imread(str(photo)).size / 3e6 for photo in photos)
    timing = bench.time(partial(restore, photos, output), repetitions=3, warmup=1, longest=8)
    return timing.rate(megapixels, "megapixels/s", f"tiles of {tile}" if is_tiled else "")


def _photo(file: Path, megapixels: float) -> Path:
    """Write `china`, enlarged to `megapixels`, with grain that keeps JPEG and PNG busy."""
    height = round((megapixels * 1e6 * 2 / 3) ** 0.5)
    photo = cv2.resize(
        packaged_photo("china"), (height * 3 // 2, height), interpolation=cv2.INTER_CUBIC
    )
    grain = np.random.default_rng(0).normal(0, 3, photo.shape)
    write_image(file, (photo + grain).clip(0, 255).astype(np.uint8), quality=92)
    return file
