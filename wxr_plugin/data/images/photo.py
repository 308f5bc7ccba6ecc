"""Photos with all that restoring preserves: 16 bits, grey, transparency, colour profile, EXIF."""

import io
import struct
import zlib
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from wxr_plugin.data.images.decode import decode_channels, eight_bits, over_white
from wxr_plugin.data.images.io import SUFFIXES, read_with
from wxr_plugin.errors import WxrError
from wxr_plugin.utils import files

DEEP = (".png", ".tif", ".tiff")
"""Suffixes of files that hold 16 bits and transparency; the others hold 8 bits."""
COLOUR_ONLY = (".ppm",)
"""Suffixes of formats without a grey variant; grey photos get three equal channels there."""
PILLOWS = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Suffix -> Pillow's name of a format that Pillow writes, because it stores profile and EXIF."""
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):
    _PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH]
_ORDERS = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
_GREY = ("1", "L", "LA", "La")
"""Pillow's modes with one channel of colour; those of 16 and 32 bits begin with I."""
_EXIF_LIMIT = 65000
"""Bytes of EXIF that fit into one segment of a JPEG, with room for its header."""
_ORIENTATION = 0x0112
"""EXIF tag."""


class Photo(NamedTuple):
    """A photo, upright. `_replace(pixels=...)` is the same photo restored."""

    pixels: np.ndarray
    """RGB (H, W, 3), uint8 or uint16; grey photos have three equal channels."""
    alpha: np.ndarray | None = None
    """Opacity (H, W) of the same type, if the file has transparency."""
    grey: bool = False
    """Whether the file had one channel of colour."""
    icc: bytes | None = None
    """Colour profile; None for a CMYK file, whose profile does not fit RGB."""
    exif: bytes | None = None
    """EXIF data without orientation and thumbnail, beginning with Exif."""
    frames: int = 1
    """Number of frames of an animation or pages of a file, of which this is the first."""


def read_photo(source: str | PathLike | bytes, name: str | None = None) -> Photo:
    """Read any file that `read_image` reads, but keep 16 bits and transparency.

    Raises BadImageError as `read_image` does.
    """
    return read_with(_decode, source, name)


def write_photo(path: str | PathLike, photo: Photo, quality: int = 95) -> None:
    """Replace `path` by the photo atomically, in the format of the suffix; see `encode_photo`.

    Raises:
        WxrError: the suffix is not one of SUFFIXES, or the photo is too large for the format.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise WxrError(
            f"{path}: cannot write an image with the suffix {suffix!r}; take one of "
            f"{', '.join(SUFFIXES)}"
        )
    try:
        data = encode_photo(photo, suffix, quality)
    except (OSError, ValueError, cv2.error) as error:
        height, width = photo.pixels.shape[:2]
        raise WxrError(
            f"{path}: {suffix[1:]} cannot hold {width}x{height} pixels ({error}); take png"
        ) from error
    files.write_bytes(path, data)


def encode_photo(photo: Photo, suffix: str, quality: int = 95) -> bytes:
    """Encode the photo as the bytes of a file.

    PNG keeps everything, TIFF the pixels (16 bits and transparency too), JPEG and WebP profile and
    EXIF. All but PNG and TIFF are rounded to 8 bits; all but these and WebP are composited over
    white. `quality` in [1, 100] is that of JPEG and WebP.
    """
    channels = _channels(photo, suffix)
    extras = _extras(photo, channels)
    if suffix in PILLOWS:
        stream = io.BytesIO()
        image = Image.fromarray(channels)
        image.save(stream, PILLOWS[suffix], quality=quality, **extras)
        return stream.getvalue()
    if channels.ndim == 3:
        order = _ORDERS[channels.shape[2]]
        channels = cv2.cvtColor(channels, order)
    is_png = suffix == ".png"
    # PNGs are packed by run lengths after the Paeth filter: on photos as small as zlib's level 6,
    # in a tenth of its time.
    flags = _PNG if is_png else []
    encoded, codes = cv2.imencode(suffix, channels, flags)
    if not encoded:
        raise ValueError(f"OpenCV cannot encode it as {suffix}")
    data = codes.tobytes()
    return _with_chunks(data, extras) if is_png else data


def _channels(photo: Photo, suffix: str) -> np.ndarray:
    """Return the channels that a format stores: (H, W), (H, W, 3) or (H, W, 4)."""
    channels = photo.pixels
    if photo.alpha is not None:
        channels = np.dstack((photo.pixels, photo.alpha))
    if suffix not in DEEP:
        channels = eight_bits(channels)
        if suffix != ".webp":
            channels = over_white(channels)
    is_opaque = channels.shape[2] == 3
    if photo.grey and is_opaque and suffix not in COLOUR_ONLY:
        channels = cv2.cvtColor(channels, cv2.COLOR_RGB2GRAY)
    return channels


def _extras(photo: Photo, channels: np.ndarray) -> dict[str, bytes]:
    """Return profile and EXIF of the photo, as far as it has them, by Pillow's names."""
    extras = {}
    profile = _fitting(photo.icc, channels)
    if profile:
        extras["icc_profile"] = profile
    if photo.exif:
        extras["exif"] = photo.exif
    return extras


def _decode(data: bytes, header: Image.Image) -> Photo:
    channels = decode_channels(data, header)
    pixels = np.ascontiguousarray(channels[..., :3])
    alpha = None
    if channels.shape[2] == 4:
        alpha = np.ascontiguousarray(channels[..., 3])
    grey = header.mode in _GREY or header.mode.startswith("I")
    icc = None
    # The pixels of these modes were converted to RGB, which their profile does not describe.
    if header.mode not in ("CMYK", "LAB", "YCbCr"):
        icc = header.info.get("icc_profile")
    return Photo(
        pixels=pixels,
        alpha=alpha,
        grey=grey,
        icc=icc,
        exif=_exif(header),
        frames=_frames(header),
    )


def _frames(header: Image.Image) -> int:
    # The further images that cameras store in an MPO are previews, not frames.
    if header.format == "MPO":
        return 1
    return getattr(header, "n_frames", 1)


def _exif(header: Image.Image) -> bytes | None:
    has_exif = "exif" in header.info
    if not has_exif or header.format not in ("JPEG", "MPO", "WEBP", "PNG"):
        return None
    try:
        exif = header.getexif()
        exif.pop(_ORIENTATION, None)
        data = exif.tobytes() if exif else b""
    except Exception:  # cameras write EXIF that Pillow cannot write again; pixels matter more
        return None
    return data if 0 < len(data) < _EXIF_LIMIT else None


def _fitting(icc: bytes | None, channels: np.ndarray) -> bytes | None:
    """Return the profile if it is for this number of channels."""
    # Bytes 16 to 20 of a profile's header are its colour space.
    kind = b"GRAY" if channels.ndim == 2 else b"RGB "
    if not icc or icc[16:20] != kind:
        return None
    return icc


def _with_chunks(png: bytes, extras: dict[str, bytes]) -> bytes:
    """Insert profile and EXIF into a PNG."""
    chunks = b""
    if "icc_profile" in extras:
        packed = zlib.compress(extras["icc_profile"])
        chunks += _chunk(b"iCCP", b"profile\0\0" + packed)
    if "exif" in extras:
        exif = extras["exif"].removeprefix(b"Exif\0\0")
        chunks += _chunk(b"eXIf", exif)
    # The signature has 8 bytes and the first chunk, IHDR, 25.
    start, rest = png[:33], png[33:]
    return start + chunks + rest


def _chunk(kind: bytes, data: bytes) -> bytes:
    """Return length (big-endian), kind, data and checksum, as a PNG has them."""
    body = kind + data
    length = struct.pack(">I", len(data))
    checksum = struct.pack(">I", zlib.crc32(body))
    return length + body + checksum
