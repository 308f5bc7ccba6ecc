"""SHA-256 of the files in a folder of weights, recorded when they arrive (`SHA256SUMS`).

The format is that of `sha256sum`, which can check the folder too: `sha256sum -c SHA256SUMS`.
"""

from pathlib import Path, PurePosixPath

from wxr_plugin.utils import files

NAME = "SHA256SUMS"


def read_sums(folder: Path) -> dict[str, str]:
    """Return path below `folder` -> SHA-256; empty without a record."""
    path = folder / NAME
    if not path.is_file():
        return {}
    sums = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        if name:
            sums[name] = digest
    return sums


def record_sum(folder: Path, name: PurePosixPath, digest: str) -> None:
    """Add the SHA-256 of a file, or replace it; the caller holds the lock of the folder."""
    sums = read_sums(folder) | {str(name): digest}
    lines = [f"{sums[key]}  {key}\n" for key in sorted(sums)]
    files.write_text(folder / NAME, "".join(lines))
