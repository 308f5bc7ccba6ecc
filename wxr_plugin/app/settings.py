"""Settings of the page."""

from pathlib import Path

import msgspec


class Settings(msgspec.Struct):
    """Settings of the page."""

    folders: list[Path]
    """Folders that the page may read."""
    device: str | None = None
    upload_mb: int = 64
    """Largest upload in megabytes."""
