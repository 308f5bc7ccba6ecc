"""Folders that the page may read: only those that the command line names."""

from collections.abc import Sequence
from pathlib import Path

from wxr_plugin.data.images.io import SUFFIXES
from wxr_plugin.errors import WxrError

MOST_PHOTOS = 2000
"""Photos of a folder that the page lists at most."""


class Folders:
    """The allowed folders.

    Args:
        roots: the folders; links are followed when they are compared.

    Raises:
        WxrError: a root is no folder.
    """

    def __init__(self, roots: Sequence[Path]):
        for root in roots:
            if not root.is_dir():
                raise WxrError(f"--folder {root}: no such folder")
        self.roots = [root.resolve() for root in roots]

    def checked(self, text: str) -> Path:
        """Return the path that a user typed, with links resolved.

        Raises:
            WxrError: it does not exist, or lies outside the allowed folders.
        """
        if not text.strip():
            raise WxrError("name a folder")
        path = Path(text.strip()).expanduser().resolve()
        if not any(path.is_relative_to(root) for root in self.roots):
            allowed = ", ".join(map(str, self.roots)) or "none; start the page with --folder"
            raise WxrError(f"{text.strip()} is not below an allowed folder ({allowed})")
        if not path.exists():
            raise WxrError(f"{text.strip()} does not exist")
        return path

    def photos(self, text: str) -> list[Path]:
        """Return the photos below a folder, in the order of their names; links out are left out.

        Raises:
            WxrError: as `checked`, or there is no photo.
        """
        folder = self.checked(text)
        files = [folder] if folder.is_file() else sorted(folder.rglob("*"))
        photos = [
            file
            for file in files
            if file.suffix.lower() in SUFFIXES
            and file.is_file()
            and any(file.resolve().is_relative_to(root) for root in self.roots)
        ]
        if not photos:
            raise WxrError(f"{text.strip()} has no photos")
        return photos[:MOST_PHOTOS]
