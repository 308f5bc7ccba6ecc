"""Progress bars of huggingface_hub."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hub_bars(shown: bool) -> Iterator[None]:
    """Leave out the bars of huggingface_hub within the block unless they are `shown`."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if shown or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
