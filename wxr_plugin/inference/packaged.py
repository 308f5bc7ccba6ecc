"""Restorers that are shipped with the package, keyed by name."""

from pathlib import Path

_ASSETS = Path(__file__).parents[1] / "assets"
PACKAGED = {
    "tiny": _ASSETS / "tiny_restorer" / "tiny_restorer.safetensors",
    "small": _ASSETS / "small_restorer" / "small_restorer.safetensors",
}
"""Name -> weights; the card is the README.md next to them.

`tiny` serves the tests and the demo, `small` photos.
"""
NAMES = " or ".join(f"'{name}'" for name in PACKAGED)


def checkpoint_path(checkpoint: str | Path) -> Path:
    """Return the weights of a packaged restorer, or `checkpoint` as a path with ~ expanded."""
    return PACKAGED.get(str(checkpoint)) or Path(checkpoint).expanduser()
