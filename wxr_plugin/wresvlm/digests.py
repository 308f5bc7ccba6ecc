"""Contents of files and folders in a few hex digits, read again only where size or time of a file changed."""

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from wxr_plugin.data.images.io import list_images
from wxr_plugin.utils.files import write_text

DIGITS = 16
READERS = 8
"""Files that are read at once."""
LMDB = ("data.mdb", "meta_info.txt")


class FileDigests:
    """Remembers the digest of each file, with its size and time, in the JSON file `memory`."""

    def __init__(self, memory: Path):
        self.memory, self.changed = memory, False
        try:
            self.known = json.loads(memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # a memory that cannot be read is made anew
            self.known = {}

    def file(self, path: Path) -> str:
        """The content of one file."""
        state, key = path.stat(), str(path.resolve())
        seen = [state.st_size, state.st_mtime_ns]
        if self.known.get(key, [None])[:2] != seen:
            with path.open("rb") as file:
                self.known[key] = [*seen, hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]]
            self.changed = True
        return self.known[key][2]

    def path(self, path: str | Path) -> str | None:
        """A file, an LMDB, or the images of a folder with their names; None where there is nothing."""
        path = Path(path).expanduser()
        if path.is_file():
            return self.file(path)
        if not path.is_dir():
            return None
        if path.suffix == ".lmdb":
            return self.files(path, [path / name for name in LMDB if (path / name).is_file()])
        return self.files(path, list_images(path), "images")

    def files(self, root: Path, files: Iterable[Path], what: str = "files") -> str:
        """Several files below `root` and their names, with their number: "12 files 0123456789abcdef"."""
        files = sorted(files)
        with ThreadPoolExecutor(READERS) as readers:
            found = list(readers.map(self.file, files))
        lines = [
            f"{file.relative_to(root).as_posix()}\0{digest}\n" for file, digest in zip(files, found)
        ]
        return f"{len(lines)} {what} {short_hash(''.join(lines))}"

    def save(self) -> None:
        """Write what is known now, if it is more than before and there is a folder for it."""
        if self.changed and self.memory.parent.is_dir():
            write_text(self.memory, json.dumps(self.known))
            self.changed = False


def short_hash(text: str) -> str:
    """A hash of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
