"""Sources of images for a model: whole photos, the training's crops, or stored pseudo-labels."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np

from wxr_plugin.data.crops import Box, crop, fixed_boxes
from wxr_plugin.data.images.io import BadImageError, read_image
from wxr_plugin.data.real_photos import RealPhotos, crop_key
from wxr_plugin.errors import WxrError
from wxr_plugin.labels.store import LabelStore, content_hash


class Crops(NamedTuple):
    """The fixed boxes of a training set with `boxes_per_image: count` and `gt_size: size`."""

    count: int
    size: int
    """Side in pixels."""

    def boxes(self, photo: str, height: int, width: int) -> dict[str, Box]:
        """Return the boxes of a photo, keyed by the names that training gives the crops."""
        boxes = fixed_boxes(photo, height, width, self.size, self.count)
        # Boxes of a small photo may be equal, and so have one name.
        return {crop_key(photo, box): box for box in boxes}

    def cut(self, photo: str, image: np.ndarray) -> dict[str, np.ndarray]:
        """Return the crops (size, size, 3) of the photo's uint8 RGB `image` (H, W, 3), by name."""
        height, width = image.shape[:2]
        crops = {}
        for key, box in self.boxes(photo, height, width).items():
            crops[key] = crop(image, box, self.size)
        return crops


class Picture(NamedTuple):
    """An image that is not decoded yet, or the reason why it cannot be read."""

    key: str
    content: str
    """Its `content_hash`; empty if it cannot be read."""
    place: str
    """Its path or another description of its place, for messages."""
    read: Callable[[], np.ndarray] | None = None
    """Returns uint8 RGB (H, W, 3); may raise BadImageError."""
    reason: str = ""
    """Why it cannot be read."""


class Source(Protocol):
    """Images to label, in groups that are read together."""

    group_size: int
    """Largest number of pictures in a group."""

    def __len__(self) -> int:
        """Return the number of groups."""

    def groups(self) -> Iterator[Callable[[], list[Picture]]]:
        """Yield a function for each group that returns its pictures; it may run in any thread."""


class WholePhotos:
    """Every photo, uncut; its content hash is that of its file."""

    group_size = 1

    def __init__(self, photos: RealPhotos):
        self.photos = photos
        self._keys = photos.keys()

    def __len__(self) -> int:
        return len(self.photos)

    def groups(self) -> Iterator[Callable[[], list[Picture]]]:
        """Yield the groups, see Source."""
        return (partial(self._picture, key) for key in self._keys)

    def _picture(self, key: str) -> list[Picture]:
        place = self.photos.path(key)
        try:
            data = self.photos.encoded(key)
        except BadImageError as error:
            return [unreadable(key, place, error)]
        # Decoded only if the store has no answer yet.
        read = partial(read_image, data, place)
        return [Picture(key, content_hash(data), place, read)]


class PhotoCrops:
    """The training crops of every photo; their content hash is that of their pixels."""

    def __init__(self, photos: RealPhotos, crops: Crops):
        self.photos = photos
        self._keys = photos.keys()
        self.crops = crops
        self.group_size = crops.count

    def __len__(self) -> int:
        return len(self.photos)

    def groups(self) -> Iterator[Callable[[], list[Picture]]]:
        """Yield the groups, see Source."""
        return (partial(self._pictures, key) for key in self._keys)

    def _pictures(self, key: str) -> list[Picture]:
        place = self.photos.path(key)
        try:
            crops = self.crops.cut(key, self.photos.read(key))
        except BadImageError as error:
            return [unreadable(key, place, error)]
        pictures = []
        for name, image in crops.items():
            # A crop is named PHOTO@BOX; its place is the photo's path with the same box.
            box = name.rpartition("@")[2]
            pictures.append(of_pixels(name, image, f"{place}@{box}"))
        return pictures


class PseudoLabelImages:
    """The newest pseudo-label of every photo or crop; their content hash is that of their pixels.

    Raises:
        WxrError: the store has none.
    """

    group_size = 1

    def __init__(self, store: LabelStore):
        self.store = store
        self._keys = list(store.pseudo_index())
        if not self._keys:
            raise WxrError(
                f"{store.path}: no pseudo-labels in it; `wxr label init PHOTOS -o {store.path}` "
                f"makes some"
            )

    def __len__(self) -> int:
        return len(self._keys)

    def groups(self) -> Iterator[Callable[[], list[Picture]]]:
        """Yield the groups, see Source."""
        return (partial(self._picture, key) for key in self._keys)

    def _picture(self, key: str) -> list[Picture]:
        label = self.store.get_pseudo(key)
        return [of_pixels(key, label.image, f"pseudo-label {key}")]


def of_pixels(key: str, image: np.ndarray, place: str) -> Picture:
    """Return the picture of a decoded uint8 RGB image (H, W, 3)."""
    return Picture(key, content_hash(image), place, lambda: image)


def unreadable(key: str, place: str, error: BadImageError) -> Picture:
    """Return the picture of a file that cannot be read."""
    return Picture(key, "", place, reason=str(error).removeprefix(f"{place}: "))
