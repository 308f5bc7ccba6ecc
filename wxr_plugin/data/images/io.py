"""Reading of any photo as 8-bit RGB, messages for files that are none, and atomic writing."""

import io
import os
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from PIL import Image

from wxr_plugin.data.images.decode import BadImageError, decode, decode_depth
from wxr_plugin.errors import WxrError
from wxr_plugin.utils import files

T = TypeVar("T")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
"""Suffixes of files that `list_images` lists, in lower case."""
_ORIENTATION = 0x0112
"""EXIF tag; its values from 5 on exchange width and height."""
HEAD = 256
"""Number of bytes at the start of a file from which `other_kind` infers its kind."""
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
VIDEO = (b"isom", b"iso2", b"mp41", b"mp42", b"avc1", b"m4v ", b"qt  ", b"dash", b"3gp4", b"3gp5")
"""Brands of ISO media files, in lower case."""


def read_image(source: str | PathLike | bytes, name: str | None = None) -> np.ndarray:
    """Read a photo, given as a path or as the bytes of a file, as uint8 RGB (H, W, 3).

    Grey and palette images are expanded, 16 bits are rounded to 8 (v / 257), CMYK is converted
    without its profile, the EXIF orientation is applied, and of an animation the first frame is
    read. Transparent images are composited over white, as viewers show them: the colours below full
    transparency are often garbage. `name` is used in messages about bytes.

    Raises:
        BadImageError: the file is missing, empty, cut short, damaged, or not an image at all (such
            as a web page saved as .jpg). Damage inside a JPEG that still decodes is not detected
            here; `wxr lmdb check` finds it by checksum.
    """
    return read_with(decode, source, name)


def read_depth(source: str | PathLike | bytes, name: str | None = None) -> np.ndarray:
    """Read a depth map, 8 or 16 bits grey, as float32 (H, W) in [0, 1]; brighter is farther.

    Raises BadImageError.
    """
    return read_with(decode_depth, source, name)


def image_size(path: str | PathLike) -> tuple[int, int] | None:
    """Return width and height of the upright photo from its header; None if unreadable."""
    try:
        with Image.open(path) as header:
            width, height = header.size
            orientation = 1
            if "exif" in header.info:
                orientation = header.getexif().get(_ORIENTATION, 1)
            return (height, width) if orientation >= 5 else (width, height)
    except Exception:  # Pillow raises almost anything on damaged data
        return None


def write_image(path: str | PathLike, rgb: np.ndarray, quality: int = 95) -> None:
    """Replace `path` by the uint8 RGB image (H, W, 3) atomically, in the format of the suffix.

    `quality` in [1, 100] is that of JPEG and WebP. Raises WxrError for a suffix that is not one of
    SUFFIXES.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise WxrError(
            f"{path}: cannot write an image with the suffix {suffix!r}; take one of "
            f"{', '.join(SUFFIXES)}"
        )
    files.write_bytes(path, encode(rgb, suffix, quality=quality))


def encode(rgb: np.ndarray, suffix: str, level: int = 3, quality: int = 95) -> bytes:
    """Encode a uint8 RGB image (H, W, 3) as the bytes of a file.

    `level` in [0, 9] is the compression of PNG, `quality` in [1, 100] that of JPEG and WebP.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"need a uint8 RGB array (H, W, 3), not {rgb.dtype} {rgb.shape}")
    flags = {
        ".png": [cv2.IMWRITE_PNG_COMPRESSION, level],
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        ".webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
    }
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    encoded, data = cv2.imencode(suffix, bgr, flags.get(suffix, []))
    if not encoded:
        raise WxrError(
            f"OpenCV cannot encode {rgb.shape[1]}x{rgb.shape[0]} pixels as {suffix}; use .png"
        )
    return data.tobytes()


def list_images(folder: str | PathLike) -> list[Path]:
    """List every image below `folder`, by suffix; otherwise as `list_files`."""
    return [path for path in list_files(folder) if path.suffix.lower() in SUFFIXES]


def list_files(folder: str | PathLike) -> list[Path]:
    """List every file below `folder`, sorted, with those of sub-folders and linked folders.

    Hidden files and folders are left out.

    Raises:
        WxrError: there is no such folder.
    """
    if not Path(folder).is_dir():
        fault = "a file; name its folder" if Path(folder).is_file() else "no such folder"
        raise WxrError(f"{folder}: {fault}")
    paths = []
    for place, folders, names in os.walk(folder, followlinks=True):
        # os.walk visits what is left in `folders`, so the others are removed in place.
        folders[:] = [name for name in folders if _is_visited(Path(place, name))]
        paths += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(paths)


def _is_visited(folder: Path) -> bool:
    return not folder.name.startswith(".") and not _leads_back(folder)


def _leads_back(folder: Path) -> bool:
    """Return whether `folder` is a link to a folder that contains it, which would never end."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def read_with(
    decode: Callable[[bytes, Image.Image], T],
    source: str | PathLike | bytes,
    name: str | None = None,
) -> T:
    """Return `decode(data, header)` of a file's bytes and Pillow's image of its header.

    Raises:
        BadImageError: as `read_image`, and for every error of `decode`.
    """
    name = name or ("image" if isinstance(source, bytes) else str(source))
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        _refuse_non_image(data)
        with Image.open(io.BytesIO(data)) as header:  # reads no pixels yet
            _refuse_cut_short(data, header.format)
            return decode(data, header)
    except BadImageError as error:
        raise BadImageError(f"{name}: {error}") from None
    except OSError as error:  # a missing file, or Pillow: not a known format, or incomplete
        reason = error.strerror or "damaged, cut short or no known image format"
        raise BadImageError(f"{name}: {reason}") from error
    except Exception as error:  # decoders raise almost anything on damaged data
        raise BadImageError(f"{name}: cannot be decoded ({error})") from error


def other_kind(head: bytes) -> str:
    """Return the kind of a file that is not an image, and the fix; empty if it may be an image.

    `head` are its first HEAD bytes or more.
    """
    # A byte order mark and blanks may precede the tags of a web page.
    start = head[:HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        return "a web page, not an image; download it again"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not an image; run git lfs pull"
    if start.startswith(b"%pdf-"):
        return (
            "a PDF document, not an image; write its pages as images first, for example with: "
            "pdftoppm -png FILE PAGE"
        )
    # The first box of MP4, QuickTime and HEIF files: size (4 bytes), "ftyp", brand (4 bytes).
    brand = start[8:12] if start[4:8] == b"ftyp" else b""
    if brand in HEIC:
        return "a HEIC photo, a format that is not supported; convert it to JPEG or PNG"
    if brand in VIDEO:
        return (
            "a video, not an image; write its frames as images first, for example with: "
            "ffmpeg -i FILE FOLDER/%06d.png"
        )
    return ""


def _refuse_non_image(data: bytes) -> None:
    if not data:
        raise BadImageError("empty file (0 bytes)")
    kind = other_kind(data[:HEAD])
    if kind:
        raise BadImageError(kind)


def _refuse_cut_short(data: bytes, kind: str | None) -> None:
    """Look for the end marker, because decoders may fill missing pixels with grey."""
    has_end = {"JPEG": _has_jpeg_end, "MPO": _has_jpeg_end, "PNG": _has_png_end}
    if kind in has_end and not has_end[kind](data):
        raise BadImageError("cut short; copy or download it again")


def _has_png_end(data: bytes) -> bool:
    return b"IEND\xaeB`\x82" in data  # the last chunk with its checksum


def _has_jpeg_end(data: bytes) -> bool:
    """Return whether the end marker follows the first scan.

    A thumbnail in an earlier segment has an end marker of its own, so the segments are skipped.
    """
    position = 2
    while position + 4 <= len(data) and data[position + 1] != 0xDA:  # start of scan
        if data[position + 1] == 0xFF:  # fill byte
            position += 1
        else:
            # A marker of two bytes, then a length that counts itself.
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return data.rfind(b"\xff\xd9", position) > 0
