"""Photos with all that restoring keeps of them: 16 bits, greyness, transparency, colour profile and EXIF."""

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
"""Suffixes of formats without a grey variant, to which grey photos are written with three equal channels."""
PILLOWS = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
_PNG += (
    [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH]
    if hasattr(cv2, "IMWRITE_PNG_FILTER")
    else []
)
_GREY = ("1", "L", "LA", "La")
_EXIF_LIMIT = 65000
_ORIENTATION = 0x0112


class Photo(NamedTuple):
    """A photo, upright. `_replace(pixels=...)` is the same photo restored."""

    pixels: np.ndarray
    """RGB (H, W, 3), uint8 or uint16; grey photos have three equal channels."""
    alpha: np.ndarray | None = None
    """Opacity (H, W) of the same type, where the file has any."""
    grey: bool = False
    """Whether the file had one channel of colour."""
    icc: bytes | None = None
    """Colour profile; not that of a CMYK file, which does not fit what it was converted to."""
    exif: bytes | None = None
    """EXIF data without orientation and thumbnail, beginning with Exif."""
    frames: int = 1
    """Of an animation or a file of several pages, of which this is the first."""


def read_photo(source: str | PathLike | bytes, name: str | None = None) -> Photo:
    """Read any file that `read_image` reads, but keep 16 bits and transparency.

    Raises BadImageError as it does.
    """
    return read_with(_decode, source, name)


def write_photo(path: str | PathLike, photo: Photo, quality: int = 95) -> None:
    """Replace `path` by the photo in one step; the suffix chooses the format, see `encode_photo`.

    Raises WxrError for a suffix that is not one of SUFFIXES and for a photo that is too large for
    the format.
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
    """The file that holds the photo.

    PNG keeps everything, TIFF the pixels (16 bits and transparency too), JPEG and WebP profile and
    EXIF. All but PNG and TIFF are rounded to 8 bits; all but these and WebP are laid over white.
    `quality` in [1, 100] counts for JPEG and WebP. PNGs are packed by run lengths after the Paeth
    filter: on photos as small as zlib's level 6, in a tenth of its time.
    """
    channels = photo.pixels if photo.alpha is None else np.dstack((photo.pixels, photo.alpha))
    if suffix not in DEEP:
        channels = eight_bits(channels)
        channels = channels if suffix == ".webp" else over_white(channels)
    if photo.grey and channels.shape[2] == 3 and suffix not in COLOUR_ONLY:
        channels = cv2.cvtColor(channels, cv2.COLOR_RGB2GRAY)
    known = {"icc_profile": _fitting(photo.icc, channels), "exif": photo.exif}
    known = {key: value for key, value in known.items() if value}
    if suffix in PILLOWS:
        stream = io.BytesIO()
        Image.fromarray(channels).save(stream, PILLOWS[suffix], quality=quality, **known)
        return stream.getvalue()
    ordered = channels if channels.ndim == 2 else cv2.cvtColor(channels, _ORDERS[channels.shape[2]])
    encoded, data = cv2.imencode(suffix, ordered, _PNG if suffix == ".png" else [])
    if not encoded:
        raise ValueError(f"OpenCV cannot encode it as {suffix}")
    return _with_chunks(data.tobytes(), known) if suffix == ".png" and known else data.tobytes()


_ORDERS = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}


def _decode(data: bytes, header: Image.Image) -> Photo:
    channels = decode_channels(data, header)
    pixels, alpha = np.ascontiguousarray(channels[..., :3]), None
    if channels.shape[2] == 4:
        alpha = np.ascontiguousarray(channels[..., 3])
    grey = header.mode in _GREY or header.mode.startswith("I")
    icc = header.info.get("icc_profile") if header.mode not in ("CMYK", "LAB", "YCbCr") else None
    return Photo(pixels, alpha, grey, icc, _exif(header), _frames(header))


def _frames(header: Image.Image) -> int:
    """1 for the second images that cameras put behind a JPEG."""
    return 1 if header.format == "MPO" else getattr(header, "n_frames", 1)


def _exif(header: Image.Image) -> bytes | None:
    if header.format not in ("JPEG", "MPO", "WEBP", "PNG") or "exif" not in header.info:
        return None
    try:
        exif = header.getexif()
        exif.pop(_ORIENTATION, None)
        data = exif.tobytes() if exif else b""
    except Exception:  # cameras write what Pillow cannot write again; the pixels matter more
        return None
    return data if 0 < len(data) < _EXIF_LIMIT else None


def _fitting(icc: bytes | None, channels: np.ndarray) -> bytes | None:
    """The profile, if it is for as many channels as there are."""
    kind = b"GRAY" if channels.ndim == 2 else b"RGB "
    return icc if icc and icc[16:20] == kind else None


def _with_chunks(png: bytes, known: dict[str, bytes]) -> bytes:
    """A PNG with its profile and EXIF after the first chunk, which is 25 bytes long and follows 8 bytes."""
    chunks = b""
    if "icc_profile" in known:
        chunks += _chunk(b"iCCP", b"profile\0\0" + zlib.compress(known["icc_profile"]))
    if "exif" in known:
        chunks += _chunk(b"eXIf", known["exif"].removeprefix(b"Exif\0\0"))
    return png[:33] + chunks + png[33:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
