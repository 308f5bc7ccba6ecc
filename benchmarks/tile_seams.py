"""Print how far a photo in tiles is from the whole photo, in dB, with the default overlap.

    python benchmarks/tile_seams.py
    python benchmarks/tile_seams.py --networks MSBDN NAFNet --tile 512 --checkpoint net_g_latest.pth

Networks are quick instances with random weights (`network_checks.build_quick`); the packaged one
or a checkpoint has its own. `reach` is the distance over which a change is still visible. Networks
that look at the whole image are not cut where memory allows it; their figure is what tiles would
cost. Nothing is downloaded.
"""

import argparse
import logging

import cv2
import numpy as np
import torch

import wxr_plugin  # noqa: F401

# isort: split
from basicsr.utils.registry import ARCH_REGISTRY

from wxr_plugin.archs.context import Context, context_inputs
from wxr_plugin.contributing import network_checks
from wxr_plugin.data.packaged_photos import packaged_photo
from wxr_plugin.inference.diffusion import predicts_noise
from wxr_plugin.inference.reach import whole_image_part
from wxr_plugin.inference.restorer import Restorer


def names() -> list[str]:
    """Return our networks that restore photos in one pass."""
    ours = [
        (name, cls)
        for name, cls in sorted(ARCH_REGISTRY)
        if cls.__module__.startswith("wxr_plugin.")
    ]
    return [name for name, cls in ours if "restores" not in getattr(cls, "waived", {})]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Return the PSNR in dB of two photos in 255 levels; infinity for equal ones."""
    error = np.mean((one.astype(float) - other) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


def row(restorer: Restorer, photo: np.ndarray, tile: int) -> str:
    """Return a line of the table for one network."""
    net, why = restorer.net, whole_image_part(restorer.net)
    context = Context(image=torch.ones(1, net.context_dim)) if context_inputs(net) else None
    restorer.tile = None
    whole = restorer.restore(photo, context)
    restorer.tile = tile
    difference = psnr(restorer.restore(photo, context), whole)
    reach = "whole image" if why else str(restorer._cutter.visible_reach)
    return f"| {type(net).__name__} | {reach} | {restorer.cut.overlap} | {difference:.1f} |"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--networks", nargs="*", default=None, help="registered names (default: all)"
    )
    parser.add_argument(
        "--checkpoint",
        default="tiny",
        help="a trained network to begin with; '' for none (the packaged one)",
    )
    parser.add_argument("--tile", type=int, default=512, help="side of tiles in pixels (512)")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(960, 640),
        help="width and height of the photo (960 640)",
    )
    args = parser.parse_args()
    logging.getLogger("basicsr").setLevel(logging.ERROR)
    photo = cv2.resize(packaged_photo("coffee"), tuple(args.size), interpolation=cv2.INTER_CUBIC)
    print(
        f"| network (tiles of {args.tile}) | reach | overlap | dB from whole |\n|---|---|---|---|"
    )
    if args.checkpoint:
        print(
            row(Restorer.from_checkpoint(args.checkpoint, device="cpu"), photo, args.tile),
            flush=True,
        )
    for name in names() if args.networks is None else args.networks:
        net = network_checks.build_quick(ARCH_REGISTRY.get(name))
        if not predicts_noise(net):
            print(row(Restorer(net, "cpu"), photo, args.tile), flush=True)


if __name__ == "__main__":
    main()
