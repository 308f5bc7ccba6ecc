"""Digests of files and folders; a file is read again only if its size or time changed."""

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from wxr_plugin.data.images.io import list_images
from wxr_plugin.hub import fetched_file
from wxr_plugin.utils.files import write_text

DIGITS = 16
READERS = 8
"""Files that are read at once."""
LMDB = ("data.mdb", "meta_info.txt")


class FileDigests:
    """Digests of files by size and time, kept in the JSON file `memory`."""

    def __init__(self, memory: Path):
        self.memory = memory
        self.changed = False
        # Absolute path -> size in bytes, time in ns, digest.
        self.known: dict[str, list] = {}
        # Without a readable memory every file is read again.
        with suppress(OSError, ValueError):
            text = memory.read_text(encoding="utf-8")
            self.known = json.loads(text)

    def file(self, path: Path) -> str:
        """Return the digest of one file."""
        status = path.stat()
        key = str(path.resolve())
        state = [status.st_size, status.st_mtime_ns]
        remembered = self.known.get(key)
        if remembered and remembered[:2] == state:
            return remembered[2]
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256")
        digest = sha256.hexdigest()[:DIGITS]
        self.known[key] = [*state, digest]
        self.changed = True
        return digest

    def path(self, path: str | Path) -> str | None:
        """Return the digest of a file, an LMDB or a folder of images; None if it is missing.

        A file on the hub is fetched.
        """
        path = fetched_file(path)
        if path.is_file():
            return self.file(path)
        if not path.is_dir():
            return None
        if path.suffix == ".lmdb":
            # The lock file changes whenever the LMDB is read.
            parts = [path / name for name in LMDB]
            existing = [part for part in parts if part.is_file()]
            return self.files(path, existing)
        return self.files(path, list_images(path), "images")

    def files(self, root: Path, files: Iterable[Path], noun: str = "files") -> str:
        """Return number and digest of several files below `root`, with their names.

        It looks like "12 files 0123456789abcdef".
        """
        files = sorted(files)
        # Threads, because reading waits for the disk and hashing releases the interpreter.
        with ThreadPoolExecutor(READERS) as readers:
            digests = list(readers.map(self.file, files))
        lines = []
        for file, digest in zip(files, digests):
            name = file.relative_to(root).as_posix()
            lines.append(f"{name}\0{digest}\n")
        digest_of_all = short_hash("".join(lines))
        return f"{len(lines)} {noun} {digest_of_all}"

    def save(self) -> None:
        """Write the memory if there is something new in it, and a folder for it."""
        has_folder = self.memory.parent.is_dir()
        if self.changed and has_folder:
            text = json.dumps(self.known)
            write_text(self.memory, text)
            self.changed = False


def short_hash(text: str) -> str:
    """Return a hash of `text`, DIGITS hexadecimal digits long."""
    sha256 = hashlib.sha256(text.encode())
    return sha256.hexdigest()[:DIGITS]
