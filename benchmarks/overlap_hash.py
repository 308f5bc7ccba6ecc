"""Hits of `wxr benchmark`'s perceptual hash on copies of photos, and on different photos.

python benchmarks/overlap_hash.py FOLDER…
"""

import sys

import cv2
import numpy as np

from wxr_plugin.benchmark.hashes import difference_hash
from wxr_plugin.benchmark.options import OverlapOptions
from wxr_plugin.data.images.io import encode, list_images, read_image

THRESHOLD = OverlapOptions(training=[]).threshold


def saved(image: np.ndarray, quality: int) -> np.ndarray:
    """Return the image after it was saved as JPEG."""
    return read_image(encode(image, ".jpg", quality=quality))


def scaled(image: np.ndarray, factor: float) -> np.ndarray:
    """Return the image in another size."""
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=how)


COPIES = {
    "JPEG 90": lambda image: saved(image, 90),
    "JPEG 50": lambda image: saved(image, 50),
    "JPEG 30": lambda image: saved(image, 30),
    "half": lambda image: scaled(image, 0.5),
    "double": lambda image: scaled(image, 2),
    "third, JPEG 50": lambda image: saved(scaled(image, 1 / 3), 50),
    "multiples of 16": lambda image: cv2.resize(
        image, tuple(side // 16 * 16 for side in image.shape[1::-1])
    ),
    "8 pixels cut off": lambda image: image[8:-8, 8:-8],
    "mirrored": lambda image: image[:, ::-1],
}


def main(folders: list[str]) -> None:
    """Print the share of copies within the threshold, and the nearest pairs of photos."""
    files = [file for folder in folders for file in list_images(folder)]
    hashes = []
    distances = {name: [] for name in COPIES}
    for file in files:
        image = read_image(file)
        hashes.append(difference_hash(image))
        for name, copy in COPIES.items():
            changed_bits = np.bitwise_count(hashes[-1] ^ difference_hash(copy(image)))
            distances[name].append(changed_bits.sum())
    print(f"{len(files)} photos, threshold {THRESHOLD} of {hashes[0].size * 8} bits")
    for name, bits in distances.items():
        print(
            f"{name:<18} found {np.mean(np.array(bits) <= THRESHOLD):6.1%}  bits: median "
            f"{np.median(bits):.0f}"
        )
    all_of = np.stack(hashes)
    # Distances in bits of each photo from all before it.
    apart = [np.bitwise_count(bits ^ all_of[:n]).sum(1) for n, bits in enumerate(all_of)]
    pairs = [(int(bits), m, n) for n, row in enumerate(apart) for m, bits in enumerate(row)]
    for bits, m, n in sorted(pair for pair in pairs if pair[0] > THRESHOLD)[:20]:
        print(f"{bits:3} bits: {files[m]}  {files[n]}")


if __name__ == "__main__":
    main(sys.argv[1:])
