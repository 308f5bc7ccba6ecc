"""Hashes of image files, of their bytes and of the picture; unchanged files are read once."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
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
"""Perceptual hashes with fewer ones or zeros than this, as of a plain sky, are not used."""


class Hash(msgspec.Struct):
    """The hashes of a file, and its size and time when it was read."""

    path: str
    size: int
    changed: int
    """Time of the last change in nanoseconds."""
    content: str
    """First 16 hex digits of the SHA-256 of its bytes."""
    seen: str | None = None
    """`difference_hash` in hex, empty if the file is not an image, None if not computed."""


class Hashes:
    """Hashes keyed by file, which `save` writes to the file `path`."""

    def __init__(self, path: Path):
        self.path = path
        self._entries: dict[str, Hash] = {entry.path: entry for entry in _read(path)}
        self._changed = False

    def content(self, file: Path) -> str:
        """Return the hash of the bytes of `file`; raise OSError if it cannot be read."""
        return self._entry(file, False, file.read_bytes, file).content

    def seen(self, file: Path) -> tuple[str, str]:
        """Return the hash of the bytes of `file` and its perceptual hash, empty if it has none.

        Raises:
            OSError: the file cannot be read.
        """
        entry = self._entry(file, True, file.read_bytes, file)
        return entry.content, entry.seen or ""

    def seen_in(self, store: ImageStore, key: str) -> tuple[str, str]:
        """Return the hashes of an image of a folder or LMDB, as `seen` does.

        Raises:
            BadImageError: the store has no such image.
            OSError: the file cannot be read.
        """
        place = Path(store.path(key))
        file = place
        # The entries of an LMDB change with its data file.
        if store.is_lmdb:
            file = store.root / "data.mdb"
        read = partial(store.encoded, key)
        entry = self._entry(place, True, read, file)
        return entry.content, entry.seen or ""

    def save(self) -> None:
        """Write the hashes to the file, if any is new."""
        if not self._changed:
            return
        entries = self._entries.values()
        lines = [msgspec.json.encode(entry) + b"\n" for entry in entries]
        files.write_bytes(self.path, b"".join(lines))
        self._changed = False

    def _entry(self, place: Path, seen: bool, read: Callable[[], bytes], file: Path) -> Hash:
        """Return the hashes of `place`, computed if they are missing or `file` changed.

        Args:
            place: key of the hashes.
            seen: whether the perceptual hash is needed.
            read: gives the bytes.
            file: size and time of this file say whether the bytes changed.
        """
        name = str(place.absolute())
        state = file.stat()
        size = state.st_size
        changed = state.st_mtime_ns
        entry = self._entries.get(name)
        unchanged = entry and (entry.size, entry.changed) == (size, changed)
        # Perceptual hashes are slower, as the image must be decoded, so they come on demand.
        if unchanged and (entry.seen is not None or not seen):
            return entry
        data = read()
        entry = Hash(
            path=name,
            size=size,
            changed=changed,
            content=content_of(data),
            seen=seen_of(data) if seen else None,
        )
        self._entries[name] = entry
        self._changed = True
        return entry


def content_of(data: bytes) -> str:
    """Return the first 16 hex digits of the SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()[:16]


def seen_of(data: bytes) -> str:
    """Return the `difference_hash` of an image file's bytes in hex.

    Empty for data that is not an image, and for images so plain that all of them look alike.
    """
    try:
        bits = difference_hash(read_image(data))
    except BadImageError:
        return ""
    ones = int(np.bitwise_count(bits).sum())
    zeros = BITS - ones
    if min(ones, zeros) < PLAIN:
        return ""
    return bits.tobytes().hex()


def difference_hash(rgb: np.ndarray) -> np.ndarray:
    """Return the perceptual hash (dHash) of uint8 RGB (H, W, 3), packed into 32 bytes.

    The grey image is averaged to 17x16; each bit says whether a mean is darker than its right
    neighbour. JPEG compression and resizing change few bits; rotating, flipping and cropping
    change many.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    # One column more than bits, as each bit compares two neighbours.
    small = cv2.resize(grey, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA)
    left = small[:, :-1]
    right = small[:, 1:]
    return np.packbits(right > left)


def nearest(hashes: Sequence[str], others: Sequence[str]) -> list[tuple[int, int]]:
    """Return the distance in bits and the index of the nearest of `others` to each hash (hex)."""
    candidates = _stack(others)
    matches = []
    for words in _stack(hashes):
        # The XOR of two hashes has a one for each bit in which they differ.
        different_bits = candidates ^ words
        distances = np.bitwise_count(different_bits).sum(1)
        best = int(distances.argmin())
        distance = int(distances[best])
        matches.append((distance, best))
    return matches


def _stack(values: Iterable[str]) -> np.ndarray:
    """Return hex hashes as uint64 (N, BITS // 64)."""
    data = bytes.fromhex("".join(values))
    words = np.frombuffer(data, np.uint64)
    return words.reshape(-1, BITS // 64)


def _read(path: Path) -> Iterator[Hash]:
    if not path.is_file():
        return
    decoder = msgspec.json.Decoder(Hash)
    for line in path.read_bytes().splitlines():
        try:
            yield decoder.decode(line)
        except msgspec.DecodeError:  # of another version: computed again
            continue
