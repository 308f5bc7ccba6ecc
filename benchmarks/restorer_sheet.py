"""Draw a sheet of photos before and after a restorer, to be looked at.

    python benchmarks/restorer_sheet.py -o docs/small.jpg       # packaged photos, synthetic weather
    python benchmarks/restorer_sheet.py --photos REAL/rain --count 20 -o rain.jpg

Without --photos the sheet has rows for rain, haze and snow in the styles `published` and
`realistic`, drawn on photos of scikit-image and scikit-learn whose licences permit it. With it, the
photos are taken evenly from the folder. Every photo stands to the left of its restoration.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from wxr_plugin.data.images.io import list_images, read_image
from wxr_plugin.data.packaged_photos import packaged_photo
from wxr_plugin.data.weather.synthesis import add_weather
from wxr_plugin.inference.restorer import Restorer

SYNTHETIC = (
    ("coffee", "rain", "published", 0.4),
    ("chelsea", "rain", "published", 0.5),
    ("china", "haze", "published", 0.8),
    ("motorcycle_left", "haze", "realistic", 0.7),
    ("china", "snow", "published", 0.7),
    ("chelsea", "snow", "realistic", 0.8),
)
"""Photo, weather, style and severity of each row without --photos."""
CELL = (360, 240)
"""Width and height of a photo on the sheet."""


def synthetic_photos() -> list[np.ndarray]:
    """Return the photos of SYNTHETIC at the size of a cell, uint8 RGB."""
    photos = []
    for number, (name, kind, style, severity) in enumerate(SYNTHETIC):
        clean = fitted(packaged_photo(name)).astype(np.float32) / 255
        rng = np.random.default_rng(number)
        lq = add_weather(clean, kind, severity, rng, style)
        photos.append((lq * 255).round().astype(np.uint8))
    return photos


def read_photos(folder: Path, count: int) -> list[np.ndarray]:
    """Read `count` photos of a folder, evenly spread over the sorted names, at most 1024 px."""
    files = list_images(folder)
    chosen = np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int)
    photos = []
    for index in chosen:
        photo = read_image(files[index])
        scale = min(1.0, 1024 / max(photo.shape[:2]))
        size = [round(side * scale) for side in photo.shape[1::-1]]
        photos.append(cv2.resize(photo, size, interpolation=cv2.INTER_AREA))
    return photos


def fitted(photo: np.ndarray) -> np.ndarray:
    """Return the middle of a photo at the size of a cell."""
    height, width = photo.shape[:2]
    scale = max(CELL[0] / width, CELL[1] / height)
    size = [max(cell, round(side * scale)) for cell, side in zip(CELL, (width, height))]
    resized = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    left, top = (size[0] - CELL[0]) // 2, (size[1] - CELL[1]) // 2
    return np.ascontiguousarray(resized[top : top + CELL[1], left : left + CELL[0]])


def sheet(photos: list[np.ndarray], restorer: Restorer, columns: int = 2) -> np.ndarray:
    """Return pairs of photo and restoration, `columns` pairs in a row."""
    pairs = []
    for photo in photos:
        pairs.append(np.hstack([fitted(photo), fitted(restorer.restore(photo))]))
    while len(pairs) % columns:
        pairs.append(np.full_like(pairs[0], 255))
    rows = [np.hstack(pairs[start : start + columns]) for start in range(0, len(pairs), columns)]
    return np.vstack(rows)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--checkpoint", default="small", help="packaged name or file")
    parser.add_argument("--photos", type=Path, help="folder of photos with weather")
    parser.add_argument("--count", type=int, default=20, help="photos of the folder")
    args = parser.parse_args()
    torch.set_num_threads(2)
    photos = read_photos(args.photos, args.count) if args.photos else synthetic_photos()
    image = sheet(photos, Restorer.from_checkpoint(args.checkpoint))
    # OpenCV has BGR order.
    cv2.imwrite(str(args.output), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
