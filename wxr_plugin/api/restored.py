"""The result for a photo that was named by its path: it can be written, shown and converted."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wxr_plugin.data.images.decode import eight_bits
from wxr_plugin.data.images.photo import Photo, encode_photo, write_photo


class Restored:
    """A restored photo with all that its file had: 16 bits, transparency, profile, EXIF.

    `numpy.asarray(restored)` gives its pixels.

    Args:
        photo: the restored photo.
        source: path of the photo that was restored.
    """

    def __init__(self, photo: Photo, source: str | PathLike):
        self.photo, self.source = photo, Path(source)

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height, as Pillow does."""
        height, width = self.photo.pixels.shape[:2]
        return width, height

    @property
    def pixels(self) -> np.ndarray:
        """Return the pixels as RGB (H, W, 3), or RGBA (H, W, 4), of uint8 or uint16."""
        if self.photo.alpha is None:
            return self.photo.pixels
        return np.dstack((self.photo.pixels, self.photo.alpha))

    @property
    def image(self) -> Image.Image:
        """Return an image of Pillow, RGB or RGBA of 8 bits a channel."""
        return Image.fromarray(eight_bits(self.pixels))

    def save(self, path: str | PathLike, quality: int = 95) -> Path:
        """Write the photo atomically in the format of the suffix, and return its path.

        PNG keeps everything, and TIFF the pixels; the other formats are of 8 bits. `quality` in
        [1, 100] is that of JPEG and WebP.

        Raises:
            WxrError: the suffix is not one of an image that can be written.
        """
        target = Path(path).expanduser()
        write_photo(target, self.photo, quality)
        return target

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.pixels, dtype=dtype, copy=copy)

    def _repr_png_(self) -> bytes:
        """Return the PNG that notebooks show."""
        return encode_photo(self.photo, ".png")

    def __repr__(self) -> str:
        width, height = self.size
        bits = 8 * self.photo.pixels.itemsize
        return f"Restored({str(self.source)!r}, {width}x{height}, {bits} bits)"
