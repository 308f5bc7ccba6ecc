"""Hashes of image files: of their bytes, and of what is seen; each file is read once as long as it stays as it is."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np

from wxr_plugin.data.images.io import BadImageError, read_image
from wxr_plugin.data.images.store import ImageStore
from wxr_plugin.utils import files

SIDE = 16
BITS = SIDE * SIDE
PLAIN = 16
"""Fewer bits of one kind, as in a picture of plain sky, tell nothing."""


class Hash(msgspec.Struct):
    """A file, as it was when it was read."""

    path: str
    size: int
    changed: int
    """Time of its last change, in nanoseconds."""
    content: str
    """First 16 hex digits of the SHA-256 of its bytes."""
    seen: str | None = None
    """`difference_hash` in hex, empty where the file is no image; None where nobody asked."""


class Hashes:
    """Hashes by file, kept in the file `path`."""

    def __init__(self, path: Path):
        self.path = path
        self._known: dict[str, Hash] = {each.path: each for each in _read(path)}
        self._changed = False

    def content(self, file: Path) -> str:
        """Hash of the file's bytes. Raises OSError."""
        return self._of(file, False, file.read_bytes, file).content

    def seen(self, file: Path) -> tuple[str, str]:
        """Hash of the file's bytes and its perceptual hash, which is empty for what is no image.

        Raises OSError.
        """
        found = self._of(file, True, file.read_bytes, file)
        return found.content, found.seen or ""

    def seen_in(self, store: ImageStore, key: str) -> tuple[str, str]:
        """As `seen`, of an image of a folder or an LMDB. Raises BadImageError or OSError."""
        place = Path(store.path(key))
        found = self._of(
            place,
            True,
            lambda: store.encoded(key),
            store.root / "data.mdb" if store.is_lmdb else place,
        )
        return found.content, found.seen or ""

    def save(self) -> None:
        """Write down what is new."""
        if self._changed:
            lines = (msgspec.json.encode(each) + b"\n" for each in self._known.values())
            files.write_bytes(self.path, b"".join(lines))
            self._changed = False

    def _of(self, place: Path, seen: bool, read: Callable[[], bytes], file: Path) -> Hash:
        state, name = file.stat(), str(place.absolute())
        known = self._known.get(name)
        same = known and (known.size, known.changed) == (state.st_size, state.st_mtime_ns)
        if same and (known.seen is not None or not seen):
            return known
        data = read()
        found = Hash(
            name,
            state.st_size,
            state.st_mtime_ns,
            content_of(data),
            seen_of(data) if seen else None,
        )
        self._known[name], self._changed = found, True
        return found


def content_of(data: bytes) -> str:
    """First 16 hex digits of the SHA-256 of a file's bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


def seen_of(data: bytes) -> str:
    """`difference_hash` of a file's bytes in hex; empty for what is no image, or so plain that it says nothing."""
    try:
        found = difference_hash(read_image(data))
    except BadImageError:
        return ""
    ones = int(np.bitwise_count(found).sum())
    return found.tobytes().hex() if PLAIN <= ones <= BITS - PLAIN else ""


def difference_hash(rgb: np.ndarray) -> np.ndarray:
    """Perceptual hash of uint8 RGB (H, W, 3), packed into 32 bytes: dHash, each bit of which tells whether it gets
    brighter from one of 17x16 means of the grey image to the next.

    Saving as JPEG and resizing change few bits; turning, flipping and cutting change many.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.packbits(small[:, 1:] > small[:, :-1])


def nearest(hashes: Sequence[str], others: Sequence[str]) -> list[tuple[int, int]]:
    """For each of `hashes` (hex) the least number of bits to one of `others`, and the index of that."""
    mine, found = _stack(hashes), []
    theirs = _stack(others)
    for one in mine:
        distances = np.bitwise_count(theirs ^ one).sum(1)
        best = int(distances.argmin())
        found.append((int(distances[best]), best))
    return found


def _stack(values: Iterable[str]) -> np.ndarray:
    return np.frombuffer(bytes.fromhex("".join(values)), np.uint64).reshape(-1, BITS // 64)


def _read(path: Path) -> Iterator[Hash]:
    decoder = msgspec.json.Decoder(Hash)
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            yield decoder.decode(line)
        except msgspec.DecodeError:
            continue
