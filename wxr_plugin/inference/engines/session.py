"""Sessions: what every engine has in common."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from wxr_plugin.errors import WxrError
from wxr_plugin.inference.engines.graphs import Sides

OUT_OF_MEMORY = ("bad_alloc", "failed to allocate", "out of memory", "not enough memory")
"""Words in lower case of the engines' errors about a lack of memory."""


class EngineError(WxrError):
    """An engine cannot run a network, or is not usable on this machine."""


class Session:
    """A graph that an engine has loaded; called with images (N, 3, H, W) in [0, 1], float32.

    Args:
        sides: sides in pixels that the graph takes.
    """

    name = ""
    """Name of the engine, as in `--engine`."""

    def __init__(self, sides: Sides):
        self.sides = sides

    def __call__(self, images: Tensor) -> Tensor:
        """Return the restored images (N, 3, H, W), not clamped, on the device of `images`.

        Raises:
            MemoryError: the engine ran out of memory, so that smaller images may work.
        """
        with memory_errors():
            # A graph takes one image; the batch shares no work.
            restored = [self.run(image) for image in images.split(1)]
        return torch.cat(restored) if len(restored) > 1 else restored[0]

    def run(self, image: Tensor) -> Tensor:
        """Return one restored image (1, 3, H, W)."""
        raise NotImplementedError

    def fits(self, images: Tensor) -> bool:
        """Return whether the graph takes images of this size."""
        height, width = images.shape[-2:]
        return self.sides.fit(height, width)


def first_line(error: BaseException) -> str:
    """Return the first line of an engine's error with its type."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError for an engine's own error about a lack of memory."""
    try:
        yield
    except Exception as error:
        text = str(error).lower()
        if any(words in text for words in OUT_OF_MEMORY):
            raise MemoryError(str(error)) from error
        raise
