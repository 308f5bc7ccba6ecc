"""Conversion of one source file to the entries of an LMDB."""

from pathlib import Path

import cv2
import numpy as np

from wxr_plugin.data.images.io import BadImageError, encode, read_image
from wxr_plugin.data.images.store import image_key
from wxr_plugin.data.lmdb.journal import Entry, Row, sha256

PNG_LEVEL = 1
"""Compression of sub-images: BasicSR's default for its LMDBs; higher levels are slower."""


def convert(
    name: str,
    path: Path,
    crop_size: int = 0,
    step: int = 0,
) -> tuple[Row, dict[str, bytes]]:
    """Return the journal's row for the file `path` and the bytes for each of its keys.

    A file that cannot be read has no entries, and the reason is in the row's `bad`.

    Args:
        name: path of the file below the source folder.
        path: the file.
        crop_size: side of the sub-images in pixels; 0 keeps the file whole.
        step: distance between sub-images in pixels.
    """
    try:
        status = path.stat()
        data = path.read_bytes()
    except OSError as error:
        reason = f"{name}: {error.strerror}"
        return Row(name, 0, 0, "", bad=reason), {}
    row = Row(name, status.st_size, status.st_mtime_ns, sha256(data))
    try:
        image = read_image(data, name)
    except BadImageError as error:
        row.bad = str(error)
        return row, {}
    values = {}
    is_cut = crop_size > 0
    for key, crop in _named(image_key(name), image, crop_size, step):
        entry, value = _entry(key, path, data, crop, is_cut)
        values[key] = value
        row.entries.append(entry)
    return row, values


def sub_images(image: np.ndarray, size: int, step: int) -> list[np.ndarray]:
    """Cut an image (H, W, C) into squares of side `size`, `step` apart, row by row.

    The last of each row and column ends at the edge.
    """
    height, width = image.shape[:2]
    squares = []
    for top in _starts(height, size, step):
        for left in _starts(width, size, step):
            square = image[top : top + size, left : left + size]
            squares.append(square)
    return squares


def _starts(length: int, size: int, step: int) -> list[int]:
    last = max(0, length - size)
    starts = list(range(0, last + 1, step))
    if starts[-1] != last:
        starts.append(last)
    return starts


def _named(key: str, image: np.ndarray, crop_size: int, step: int) -> list[tuple[str, np.ndarray]]:
    """Return (key, pixels) of each entry: NAME, or NAME_s001 and so on for sub-images."""
    if not crop_size:
        return [(key, image)]
    crops = enumerate(sub_images(image, crop_size, step), 1)
    return [(f"{key}_s{number:03d}", crop) for number, crop in crops]


def _entry(
    key: str,
    path: Path,
    data: bytes,
    crop: np.ndarray,
    is_cut: bool,
) -> tuple[Entry, bytes]:
    """Return the entry of a file or of a sub-image of it, and the bytes to store.

    The bytes are the file's own, unless it is cut or OpenCV, with which stock BasicSR reads, cannot
    decode it.
    """
    suffix = path.suffix.lower()
    level = 0
    if is_cut or not _opencv_reads(data, crop.shape):
        suffix = ".png"
        level = PNG_LEVEL
        data = encode(crop, suffix, level)
    height, width = crop.shape[:2]
    entry = Entry(
        key=key,
        suffix=suffix,
        height=height,
        width=width,
        level=level,
        sha256=sha256(data),
    )
    return entry, data


def _opencv_reads(data: bytes, shape: tuple[int, ...]) -> bool:
    # JPEG and PNG are recognised by their first bytes, without a second decoding.
    if data.startswith((b"\xff\xd8", b"\x89PNG")):
        return True
    codes = np.frombuffer(data, np.uint8)
    image = cv2.imdecode(codes, cv2.IMREAD_COLOR)
    return image is not None and image.shape == shape
