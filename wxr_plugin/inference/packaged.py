"""The restorers that are shipped with the package, and the precisions that any restorer runs in."""

from pathlib import Path
from typing import Literal, get_args

from wxr_plugin.hub import fetched_file

_ASSETS = Path(__file__).parents[1] / "assets"
TINY = _ASSETS / "tiny_restorer" / "tiny_restorer.safetensors"
PACKAGED = {
    "tiny": TINY,
    "small": _ASSETS / "small_restorer" / "small_restorer.safetensors",
}
"""Name -> weights that are shipped with the package; the card is the README.md next to them.

`tiny` serves the tests and is a restorer of the first vote of the demo, `small` restores photos.
"""
DEFAULT = "small"
"""Name of the packaged network that restores where none is named."""
NAMES = " or ".join(f"'{name}'" for name in PACKAGED)
Precision = Literal["fp32", "bf16", "fp16"]
"""Precision of a forward pass; bf16 and fp16 are torch's autocast."""
Engine = Literal["torch", "onnxruntime", "openvino", "tensorrt", "auto"]
"""What runs a network; auto: the fastest engine that is installed and verified for it."""
ENGINES: tuple[Engine, ...] = get_args(Engine)


def checkpoint_path(checkpoint: str | Path) -> Path:
    """Return the weights of a packaged restorer, of a reference to the hub, or at a path.

    Raises:
        WxrError: the hub has no such file, or it cannot be fetched.
    """
    return PACKAGED.get(str(checkpoint)) or fetched_file(checkpoint)
