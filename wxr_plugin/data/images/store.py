"""One interface for a folder and an LMDB of photos, which gives 8-bit RGB by key."""

import re
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from urllib.parse import quote

import lmdb
import numpy as np

from wxr_plugin.data.images.io import (
    SUFFIXES,
    BadImageError,
    image_size,
    list_images,
    read_depth,
    read_image,
)
from wxr_plugin.errors import WxrError
from wxr_plugin.utils import lmdb_cache
from wxr_plugin.utils.safe_paths import refuse_unsafe_keys

META_INFO = "meta_info.txt"
"""BasicSR's list of an LMDB's entries, one line each: name.png (height,width,channels) level."""
_META_LINE = re.compile(
    r"(?P<name>.+) \((?P<h>\d{1,9}),(?P<w>\d{1,9}),(?P<c>\d{1,9})\) (?P<level>\d+)"
)
_PRINTABLE = "".join(chr(code) for code in range(32, 127) if chr(code) not in "%.")
"""Characters that keys have as they are."""


class ImageStore:
    """Images of a folder, or of an LMDB in BasicSR's format, by key.

    A key is the path below the root without its suffix (see `image_key`), the same for a folder and
    for the LMDB that was built from it. LMDB environments are opened when first read, once a
    process; a store can be pickled.

    `cache` keeps the encoded files of a folder in memory, all read at once, so that forked workers
    share them (an LMDB needs none: the system caches its pages).

    Raises:
        WxrError: the root does not exist, holds no images, or holds two with one key; or an LMDB is
            not finished, is cut short, or has keys that lead out of a folder (`safe_paths`).
    """

    def __init__(self, root: str | PathLike, cache: bool = False):
        self.root = Path(root).expanduser()
        self.is_lmdb = self.root.suffix == ".lmdb"
        self._files: dict[str, Path] = {}
        if self.is_lmdb:
            self._keys = _lmdb_keys(self.root)
        else:
            self._files = keyed(self.root, list_images(self.root))
            self._keys = sorted(self._files)
        if not self._keys:
            raise WxrError(f"{root}: no images in it (looked for {', '.join(SUFFIXES)})")
        self._shapes: dict[str, tuple[int, int, int]] = {}
        self._cache: dict[str, bytes | None] = {}
        if cache:
            self._cache = {key: _bytes_or_none(file) for key, file in self._files.items()}

    def __len__(self) -> int:
        return len(self._keys)

    def keys(self) -> list[str]:
        """Return every key, sorted."""
        return list(self._keys)

    def path(self, key: str) -> str:
        """Return the path of an image for messages and results: its file, or LMDB/key."""
        if self.is_lmdb:
            return str(self.root / key)
        return str(self._files[key])

    def name(self, key: str) -> str:
        """Return the path of the image's file below the root; for an LMDB the key."""
        if self.is_lmdb:
            return key
        file = self._files[key]
        return file.relative_to(self.root).as_posix()

    def pixels(self, key: str) -> int | None:
        """Return the image's number of pixels from its header or meta_info.txt; None if unknown."""
        if not self.is_lmdb:
            size = image_size(self._files[key])
            return size[0] * size[1] if size else None
        # Only this method needs the shapes, so they are read at its first call.
        self._shapes = self._shapes or read_meta_info(self.root)
        height, width, _ = self._shapes[key]
        return height * width

    def encoded(self, key: str) -> bytes:
        """Return the bytes of the image's file. Raises BadImageError if they cannot be read."""
        if self.is_lmdb:
            data = self._from_lmdb(key)
        else:
            data = self._cache.get(key) or _bytes_or_none(self._files[key])
        if data is None:
            raise BadImageError(f"{self.path(key)}: missing or unreadable since the start")
        return data

    def read(self, key: str) -> np.ndarray:
        """Return the image as uint8 RGB (H, W, 3). Raises BadImageError."""
        return read_image(self.encoded(key), self.path(key))

    def read_depth(self, key: str) -> np.ndarray:
        """Return a depth map as float32 (H, W) in [0, 1]; 1 is farthest. Raises BadImageError."""
        return read_depth(self.encoded(key), self.path(key))

    def _from_lmdb(self, key: str) -> bytes | None:
        try:
            with open_lmdb(self.root).begin() as transaction:
                return transaction.get(key.encode())
        except lmdb.Error as error:
            raise BadImageError(f"{self.path(key)}: {error}") from error


def image_key(relative: str | PathLike) -> str:
    """Return the key of an image: its path below the root, with '/', without the suffix.

    BasicSR cuts keys at the first dot and knows only ASCII, so a dot, a per cent sign and
    everything beyond printable ASCII are written as %XX of their UTF-8 bytes;
    `urllib.parse.unquote` gives the name back.
    """
    name = Path(relative).with_suffix("").as_posix()
    # quote() never escapes a dot, even if it is not in `safe`.
    quoted = quote(name, safe=_PRINTABLE)
    return quoted.replace(".", "%2E")


def keyed(root: str | PathLike, files: Iterable[Path]) -> dict[str, Path]:
    """Map the key of each file below `root` to the file.

    Raises:
        WxrError: two files have one key, or a name is not UTF-8.
    """
    by_key: dict[str, Path] = {}
    for file in files:
        try:
            key = image_key(file.relative_to(root))
        except UnicodeEncodeError:
            raise WxrError(f"{str(file)!a}: the name is not UTF-8; rename it") from None
        if key in by_key:
            raise WxrError(
                f"{by_key[key]} and {file} would both be '{key}': rename or remove one of them"
            )
        by_key[key] = file
    return by_key


def read_meta_info(folder: str | PathLike) -> dict[str, tuple[int, int, int]]:
    """Map each key in an LMDB's meta_info.txt to its (height, width, channels).

    Raises:
        WxrError: there is no such file, as after a stopped build, or a line is not in BasicSR's
            format.
    """
    path = Path(folder) / META_INFO
    if not path.is_file():
        raise WxrError(
            f"{folder}: no {META_INFO} in it; run the `wxr lmdb build` of it again to complete it"
        )
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise WxrError(f"{path}: not a text file in UTF-8; build the LMDB again") from None
    shapes = {}
    for number, line in enumerate(lines, 1):
        match = _META_LINE.fullmatch(line)
        if match is None:
            raise WxrError(
                f"{path}:{number}: expected `name.png (height,width,channels) level`, found "
                f"{line[:200]!r}"
            )
        key = match["name"].rsplit(".", 1)[0]
        shapes[key] = (int(match["h"]), int(match["w"]), int(match["c"]))
    return shapes


def open_lmdb(folder: str | PathLike) -> lmdb.Environment:
    """Return this process's reading environment of an LMDB folder.

    Raises:
        WxrError: the folder is not an LMDB.
    """
    try:
        return lmdb_cache.environment(folder)
    except lmdb.Error as error:
        raise WxrError(
            f"{folder}: cannot be opened as an LMDB ({error}); build it again"
        ) from error


def _lmdb_keys(folder: Path) -> list[str]:
    keys = sorted(read_meta_info(folder))
    refuse_unsafe_keys(folder, keys)
    refuse_cut_database(folder)
    return keys


def refuse_cut_database(folder: str | PathLike) -> None:
    """Raise WxrError if data.mdb is cut short.

    LMDB maps the file into memory: reading beyond its end would kill the process.
    """
    lmdb_cache.refuse_cut(open_lmdb(folder), folder)


def _bytes_or_none(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None
