"""The files that belong to the repository."""

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def tracked(*folders: str) -> list[str]:
    """Return the files that git tracks or would track, by relative path; skip without git."""
    command = [
        "git",
        "-C",
        str(REPOSITORY),
        "ls-files",
        "-co",
        "--exclude-standard",
        "-z",
        *folders,
    ]
    listing = subprocess.run(command, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("the wheel is built from the files that git lists, and this is no git checkout")
    return sorted(
        name for name in listing.stdout.split("\0") if name and (REPOSITORY / name).is_file()
    )
