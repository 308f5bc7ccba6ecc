"""Error of engines and precisions against torch in float32, in levels of restored 8-bit photos.

    python benchmarks/engine_error.py --photos PHOTOS --count 8 --checkpoint small

Each photo, reduced to at most --longest pixels, is restored by every engine in every precision that
it has here. Printed: the share of values within 1 level of torch's float32, the largest difference
and the mean in levels. A precision is fit to be a default where the share is at least 99.9 %.
"""

import argparse
from pathlib import Path

import numpy as np

import wxr_plugin  # noqa: F401

# isort: split
from wxr_plugin.data.images.io import list_images, read_image
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.pixels import shrunk
from wxr_plugin.inference.restorer import Restorer

WAYS = (("torch", "bf16"), ("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"))
ENOUGH = 0.999


def differences(photos: list[np.ndarray], checkpoint: str, engine: str, precision: str) -> str:
    """Return a line about one engine and precision."""
    exact = Restorer.from_checkpoint(checkpoint, device="cpu")
    restorer = Restorer.from_checkpoint(
        checkpoint, device="cpu", engine=engine, precision=precision
    )
    levels = []
    for photo in photos:
        difference = exact.restore(photo).astype(int) - restorer.restore(photo)
        levels.append(np.abs(difference).ravel())
    values = np.concatenate(levels)
    share = (values <= 1).mean()
    verdict = "enough" if share >= ENOUGH else "too few"
    return (
        f"{engine:12} {precision}: {share:.3%} within 1 level ({verdict}), largest {values.max()}, "
        f"mean {values.mean():.4f}"
    )


def main() -> None:
    """Read the photos and print a line for each engine and precision."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--count", type=int, default=8, help="photos, evenly out of all")
    parser.add_argument("--longest", type=int, default=640, help="side in pixels")
    parser.add_argument("--checkpoint", default="small")
    args = parser.parse_args()
    files = list_images(args.photos)
    chosen = [files[round(place)] for place in np.linspace(0, len(files) - 1, args.count)]
    photos = [shrunk(read_image(file), args.longest) for file in chosen]
    for engine, precision in WAYS:
        try:
            print(differences(photos, args.checkpoint, engine, precision), flush=True)
        except WxrError as error:
            print(f"{engine:12} {precision}: {error}", flush=True)


if __name__ == "__main__":
    main()
