"""The images that a model is asked about: whole photos, the crops that training uses, or stored pseudo-labels."""

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
        """The boxes of the photo with that key and size, by the names that training gives the crops."""
        boxes = fixed_boxes(photo, height, width, self.size, self.count)
        return {
            crop_key(photo, box): box for box in boxes
        }  # those of a small photo may be one and the same

    def cut(self, photo: str, image: np.ndarray) -> dict[str, np.ndarray]:
        """The crops (size, size, 3) of the uint8 RGB `image` (H, W, 3) of that photo, by their names."""
        return {
            key: crop(image, box, self.size)
            for key, box in self.boxes(photo, *image.shape[:2]).items()
        }


class Picture(NamedTuple):
    """One image, not decoded yet, or why there is none."""

    key: str
    content: str
    """Its `content_hash`; empty where it cannot be read."""
    place: str
    """Where it lies, for messages."""
    read: Callable[[], np.ndarray] | None = None
    """Gives uint8 RGB (H, W, 3); may raise BadImageError."""
    reason: str = ""
    """Why it cannot be read."""


class Source(Protocol):
    """Images to ask about, in groups that are read together."""

    each: int
    """Pictures in a group, at most."""

    def __len__(self) -> int:
        """The number of groups."""

    def groups(self) -> Iterator[Callable[[], list[Picture]]]:
        """A function for each group, to be called in any thread, that gives the group's pictures."""


class WholePhotos:
    """Every photo, uncut; its content is that of its file."""

    each = 1

    def __init__(self, photos: RealPhotos):
        self.photos, self._keys = photos, photos.keys()

    def __len__(self) -> int:
        return len(self.photos)

    def groups(self) -> Iterator[Callable[[], list[Picture]]]:
        """See Source."""
        return (partial(self._picture, key) for key in self._keys)

    def _picture(self, key: str) -> list[Picture]:
        place = self.photos.path(key)
        try:
            data = self.photos.encoded(key)
        except BadImageError as error:
            return [unreadable(key, place, error)]
        return [Picture(key, content_hash(data), place, partial(read_image, data, place))]


class PhotoCrops:
    """The training crops of every photo; their content is that of their pixels."""

    def __init__(self, photos: RealPhotos, crops: Crops):
        self.photos, self._keys = photos, photos.keys()
        self.crops, self.each = crops, crops.count

    def __len__(self) -> int:
        return len(self.photos)

    def groups(self) -> Iterator[Callable[[], list[Picture]]]:
        """See Source."""
        return (partial(self._pictures, key) for key in self._keys)

    def _pictures(self, key: str) -> list[Picture]:
        place = self.photos.path(key)
        try:
            cut = self.crops.cut(key, self.photos.read(key))
        except BadImageError as error:
            return [unreadable(key, place, error)]
        return [
            of_pixels(name, image, f"{place}@{name.rpartition('@')[2]}")
            for name, image in cut.items()
        ]


class PseudoLabelImages:
    """The newest pseudo-label of every photo or crop that a store has one of; their content is that of their pixels.

    Raises:
        WxrError: the store has none.
    """

    each = 1

    def __init__(self, store: LabelStore):
        self.store, self._keys = store, list(store.pseudo_index())
        if not self._keys:
            raise WxrError(
                f"{store.path}: no pseudo-labels in it; `wxr label init PHOTOS -o {store.path}` "
                f"makes some"
            )

    def __len__(self) -> int:
        return len(self._keys)

    def groups(self) -> Iterator[Callable[[], list[Picture]]]:
        """See Source."""
        return (partial(self._picture, key) for key in self._keys)

    def _picture(self, key: str) -> list[Picture]:
        return [of_pixels(key, self.store.get_pseudo(key).image, f"pseudo-label {key}")]


def of_pixels(key: str, image: np.ndarray, place: str) -> Picture:
    """The picture of an image that is at hand, uint8 RGB (H, W, 3)."""
    return Picture(key, content_hash(image), place, lambda: image)


def unreadable(key: str, place: str, error: BadImageError) -> Picture:
    """The picture of a file that cannot be read."""
    return Picture(key, "", place, reason=str(error).removeprefix(f"{place}: "))
