"""Decoding the bytes of an image file, of whatever kind, into upright RGB."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from PIL import Image, ImageFile

from wxr_plugin.errors import WxrError

_FAST_FORMATS = {"JPEG", "MPO", "PNG", "BMP", "WEBP"}
_ORIENTATION = 0x0112  # EXIF tag
_PILLOW = threading.Lock()
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
    """uint8 RGB (H, W, 3), upright, from the bytes of a file and what Pillow read of its header.

    16 bits are rounded to 8, and what is transparent is laid over white.
    """
    return np.ascontiguousarray(over_white(eight_bits(decode_channels(data, header))))


def decode_channels(data: bytes, header: Image.Image) -> np.ndarray:
    """RGB (H, W, 3), or RGBA (H, W, 4) of what has transparency, upright; uint8, or uint16 of a file with 16 bits.

    OpenCV decodes plain 8-bit files, being faster, and 16-bit ones, whose low byte Pillow would
    drop; Pillow the rest.
    """
    if _is_deep(data, header):
        image = _decode_deep(data)
    elif (
        header.format in _FAST_FORMATS
        and header.mode in ("RGB", "L")
        and not header.has_transparency_data
    ):
        image = _decode_plain(data, header.size)
    else:
        image = _decode_odd(header)
    return _TURNS.get(_orientation(header), lambda image: image)(image)


def eight_bits(image: np.ndarray) -> np.ndarray:
    """`image` as uint8, rounded (v / 257) if it is uint16."""
    return np.round(image / 257.0).astype(np.uint8) if image.dtype == np.uint16 else image


def over_white(image: np.ndarray) -> np.ndarray:
    """uint8 RGB of RGB, or of RGBA laid over white."""
    if image.shape[2] == 3:
        return image
    alpha = image[..., 3:] / 255.0
    return np.round(image[..., :3] * alpha + 255.0 * (1.0 - alpha)).astype(np.uint8)


def _orientation(header: Image.Image) -> int:
    if header.format == "PNG" and "exif" not in header.info:
        return 1  # Pillow would decode the whole image to look behind the pixels
    return header.getexif().get(_ORIENTATION, 1)


def _is_deep(data: bytes, header: Image.Image) -> bool:
    """More than 8 bits a channel.

    Pillow shows a 16-bit colour PNG as 8-bit RGB, so ask the file.
    """
    if header.format == "PNG":
        return data[24] == 16
    bits = header.tag_v2.get(258, (8,)) if header.format == "TIFF" else (8,)
    return header.mode.startswith(("I", "F")) or max(bits) > 8


def _decode_plain(data: bytes, size: tuple[int, int]) -> np.ndarray:
    image = cv2.imdecode(
        np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    )
    if image is None or image.shape[1::-1] != size:
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
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def _decode_odd(header: Image.Image) -> np.ndarray:
    with _strict_pillow():
        return np.asarray(header.convert("RGBA" if header.has_transparency_data else "RGB"))


def decode_depth(data: bytes, header: Image.Image) -> np.ndarray:
    """float32 (H, W) in [0, 1] from 8 or 16 bits grey."""
    depth = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if depth is None or depth.dtype not in (np.uint8, np.uint16):
        raise BadImageError("not a depth map of 8 or 16 bits")
    return depth.astype(np.float32) / np.iinfo(depth.dtype).max


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Refuse cut files in Pillow: other libraries (pyiqa does) switch that off for the whole process."""
    with _PILLOW:
        before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before
