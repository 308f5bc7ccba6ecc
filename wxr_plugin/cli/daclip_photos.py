"""Photos of `wxr daclip classify`: listed first, then read one at a time."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Read = Callable[[], "np.ndarray"]
"""Reads a photo as uint8 RGB (H, W, 3); may raise BadImageError."""


def list_photos(path: Path) -> list[tuple[str, Read]]:
    """Return (name, reader) of a photo, or of every photo of a folder or LMDB.

    Raises:
        WxrError: there is no photo.
    """
    from wxr_plugin.data.images.io import read_image
    from wxr_plugin.data.images.store import ImageStore

    if path.is_file():
        return [(path.name, partial(read_image, path))]
    store = ImageStore(path)
    keys = store.keys()
    if store.is_lmdb:
        # Keys are percent-encoded file names, see data/lmdb.
        names = [unquote(key) for key in keys]
    else:
        names = [str(Path(store.path(key)).relative_to(store.root)) for key in keys]
    return [(name, partial(store.read, key)) for name, key in zip(names, keys)]


def read_photos(
    photos: Sequence[tuple[str, Read]], unreadable: list[str]
) -> Iterator[tuple[str, "Tensor"]]:
    """Yield name and image (1, 3, H, W) in [0, 1] of each photo under a bar.

    Photos differ in size, so they come one at a time. A reason is appended to `unreadable` for each
    one that cannot be read.
    """
    import torch

    from wxr_plugin.data.images.io import BadImageError
    from wxr_plugin.utils.progress import track

    for name, read in track(photos, "classify", transient=True):
        try:
            pixels = read()
        except BadImageError as error:
            unreadable.append(str(error))
            continue
        # (H, W, 3) uint8 -> (1, 3, H, W) in [0, 1]
        yield name, torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
