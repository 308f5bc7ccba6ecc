"""Reading the pseudo-label of a crop: its own, or the crop of the label of its photo."""

from collections import OrderedDict

import numpy as np
from basicsr.utils import get_root_logger

from wxr_plugin.data.crops import Box, crop
from wxr_plugin.data.real_photos import split_key
from wxr_plugin.labels.store import LabelStore, PseudoLabel
from wxr_plugin.pseudo_labelling.gate import Candidate

PHOTOS = 8
"""Whole photos that are kept decoded."""


class StoredLabels:
    """Labels of a store as candidates, for the rater with the hash `rater`; ratings of others do not compare.

    A crop without a label takes the crop of its photo's, which nobody has rated: as a crop it gets
    a rating of its own.
    """

    def __init__(self, store: LabelStore, rater: str):
        self.store, self.rater = store, rater
        self._photos: OrderedDict[tuple[str, float], np.ndarray] = OrderedDict()
        self._refused: set[str] = set()

    def of(self, key: str, shape: tuple[int, int]) -> Candidate | None:
        """The label of the crop `key`, whose sides are `shape` (H, W); None if neither it nor its photo has one."""
        return self.own(key) or self._from_photo(key, shape)

    def own(self, key: str) -> Candidate | None:
        """The label that is stored under `key` itself."""
        label = self.store.get_pseudo(key)
        if label is None:
            return None
        rating = label.rating if label.rater == self.rater else None
        return Candidate(key, label.image, label.source, rating, label.rating)

    def _from_photo(self, key: str, shape: tuple[int, int]) -> Candidate | None:
        photo, box = split_key(key)
        label = self.store.get_pseudo(photo) if box and photo not in self._refused else None
        if label is None:
            return None
        image = self._decoded(label)
        if not _holds(image, box, shape):
            self._refuse(photo, box, image)
            return None
        return Candidate(key, crop(image, box, max(shape)), label.source, None, label.rating)

    def _decoded(self, label: PseudoLabel) -> np.ndarray:
        version = label.key, label.time
        if version not in self._photos:
            self._photos[version] = label.image
        self._photos.move_to_end(version)
        while len(self._photos) > PHOTOS:
            self._photos.popitem(last=False)
        return self._photos[version]

    def _refuse(self, photo: str, box: Box, image: np.ndarray) -> None:
        self._refused.add(photo)
        height, width = image.shape[:2]
        get_root_logger().warning(
            f"the pseudo-label of {photo} is {width} x {height} pixels, and the crop {box} does "
            f"not fit in: its crops "
            "begin with the photo itself. Make it again from the photo as it is now with `wxr "
            "label init`"
        )


def _holds(image: np.ndarray, box: Box, shape: tuple[int, int]) -> bool:
    """Whether `box` lies in `image` and gives a crop of `shape`, filled up where the photo is smaller (data.crops)."""
    height, width = image.shape[:2]
    inside = box.right <= width and box.bottom <= height and shape[0] == shape[1]
    sides = ((box.right - box.left, width), (box.bottom - box.top, height))
    return inside and all(side == shape[0] or side == whole < shape[0] for side, whole in sides)
