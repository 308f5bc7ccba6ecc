"""Decoding the bytes of an image file of any kind into upright RGB."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from PIL import Image, ImageFile

from wxr_plugin.errors import WxrError

_FAST_FORMATS = {"JPEG", "MPO", "PNG", "BMP", "WEBP"}
_ORIENTATION = 0x0112  # EXIF tag
_BITS_PER_SAMPLE = 258  # TIFF tag
_PILLOW = threading.Lock()
# EXIF orientation -> function that makes the image upright; 1 is upright already.
_TURNS = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, 3),
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: lambda image: np.rot90(image),
}


class BadImageError(WxrError):
    """A file that cannot be used as an image; the message names it and says why."""


def decode(data: bytes, header: Image.Image) -> np.ndarray:
    """Decode the bytes of a file, of which Pillow read `header`, to upright uint8 RGB (H, W, 3).

    16 bits are rounded to 8, and transparency is composited over white.
    """
    channels = eight_bits(decode_channels(data, header))
    return np.ascontiguousarray(over_white(channels))


def decode_channels(data: bytes, header: Image.Image) -> np.ndarray:
    """Decode the bytes of a file to upright RGB (H, W, 3), or RGBA (H, W, 4) if transparent.

    The result is uint8, or uint16 for a file with 16 bits. OpenCV decodes plain 8-bit files,
    because it is faster, and 16-bit ones, whose low byte Pillow would drop; Pillow the rest.
    """
    if _is_deep(data, header):
        image = _decode_deep(data)
    elif _is_plain(header):
        image = _decode_plain(data, header.size)
    else:
        image = _decode_odd(header)
    turn = _TURNS.get(_orientation(header))
    if turn is None:
        return image
    return turn(image)


def eight_bits(image: np.ndarray) -> np.ndarray:
    """Return `image` as uint8; uint16 is divided by 257 and rounded."""
    if image.dtype != np.uint16:
        return image
    levels = np.round(image / 257.0)
    return levels.astype(np.uint8)


def over_white(image: np.ndarray) -> np.ndarray:
    """Composite uint8 RGBA over white; RGB is returned as it is."""
    if image.shape[2] == 3:
        return image
    rgb = image[..., :3]
    alpha = image[..., 3:] / 255.0
    blended = rgb * alpha + 255.0 * (1.0 - alpha)
    return np.round(blended).astype(np.uint8)


def _is_plain(header: Image.Image) -> bool:
    is_fast = header.format in _FAST_FORMATS and header.mode in ("RGB", "L")
    return is_fast and not header.has_transparency_data


def _orientation(header: Image.Image) -> int:
    # A PNG may have EXIF after its pixels; Pillow would decode the whole image to look there.
    if header.format == "PNG" and "exif" not in header.info:
        return 1
    return header.getexif().get(_ORIENTATION, 1)


def _is_deep(data: bytes, header: Image.Image) -> bool:
    """Return whether a file has more than 8 bits a channel."""
    if header.format == "PNG":
        # Pillow shows a 16-bit colour PNG as 8-bit RGB; byte 24 of the file is the bit depth.
        return data[24] == 16
    bits = (8,)
    if header.format == "TIFF":
        bits = header.tag_v2.get(_BITS_PER_SAMPLE, bits)
    return header.mode.startswith(("I", "F")) or max(bits) > 8


def _decode_plain(data: bytes, size: tuple[int, int]) -> np.ndarray:
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    width, height = size
    if image is None or image.shape[:2] != (height, width):
        raise BadImageError("damaged or cut short")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decode_deep(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise BadImageError("damaged or cut short")
    if image.dtype != np.uint16:
        raise BadImageError(f"{image.dtype} values; convert it to 8 or 16 bits a channel")
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 4:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decode_odd(header: Image.Image) -> np.ndarray:
    mode = "RGBA" if header.has_transparency_data else "RGB"
    with _strict_pillow():
        return np.asarray(header.convert(mode))


def decode_depth(data: bytes, header: Image.Image) -> np.ndarray:
    """Decode 8 or 16 bits grey to float32 (H, W) in [0, 1]."""
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
    depth = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if depth is None or depth.dtype not in (np.uint8, np.uint16):
        raise BadImageError("not a depth map of 8 or 16 bits")
    largest = np.iinfo(depth.dtype).max
    return depth.astype(np.float32) / largest


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Let Pillow raise on truncated files, which pyiqa disables for the whole process."""
    with _PILLOW:
        setting = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = setting
