"""Reads the pseudo-label of a crop: its own, or the crop of the label of its photo."""

from collections import OrderedDict

import numpy as np
from basicsr.utils import get_root_logger

from wxr_plugin.data.crops import Box, crop
from wxr_plugin.data.real_photos import split_key
from wxr_plugin.labels.store import LabelStore, PseudoLabel
from wxr_plugin.pseudo_labelling.gate import Candidate
from wxr_plugin.pseudo_labelling.rating_view import Surroundings

PHOTOS = 8
"""Whole photos that are kept decoded."""


class LabelReader:
    """Labels of a store as candidates for a rater, which `rating_view.rater_name` names.

    Ratings under other names do not compare, so such a label counts as unrated. A crop without a
    label takes the crop of its photo's label, which is unrated as well: as a crop it gets a rating
    of its own.
    """

    def __init__(self, store: LabelStore):
        self.store = store
        # Decoded labels of whole photos, keyed by name and time, the least recently used first.
        self._photos: OrderedDict[tuple[str, float], np.ndarray] = OrderedDict()
        self._refused: set[str] = set()

    def of(self, key: str, shape: tuple[int, int], rater: str) -> Candidate | None:
        """Return the label of the crop `key` with sides `shape` (H, W).

        None if neither the crop nor its photo has one.
        """
        return self.own(key, rater) or self._from_photo(key, shape, rater)

    def own(self, key: str, rater: str) -> Candidate | None:
        """Return the label that is stored under `key` itself, or None."""
        label = self.store.get_pseudo(key)
        if label is None:
            return None
        rating = label.rating if label.rater == rater else None
        return Candidate(key, label.image, label.source, rating, label.rating, rater=rater)

    def surroundings(self, photo: Surroundings) -> Surroundings:
        """Return the same part of the label of the whole photo; `photo` itself without one."""
        name, box = split_key(photo.key)
        label = None if name in self._refused else self.store.get_pseudo(name)
        if label is None:
            return photo
        image = self._decoded(label)
        height, width = image.shape[:2]
        if box.right > width or box.bottom > height:
            self._refuse(name, box, image)
            return photo
        return photo._replace(picture=image[box.top : box.bottom, box.left : box.right])

    def _from_photo(self, key: str, shape: tuple[int, int], rater: str) -> Candidate | None:
        photo, box = split_key(key)
        if not box or photo in self._refused:
            return None
        label = self.store.get_pseudo(photo)
        if label is None:
            return None
        image = self._decoded(label)
        if not _holds(image, box, shape):
            self._refuse(photo, box, image)
            return None
        part = crop(image, box, max(shape))
        return Candidate(key, part, label.source, None, label.rating, rater=rater)

    def _decoded(self, label: PseudoLabel) -> np.ndarray:
        version = label.key, label.time
        image = self._photos.pop(version, None)
        if image is None:
            image = label.image
        self._photos[version] = image  # now the most recently used
        while len(self._photos) > PHOTOS:
            self._photos.popitem(last=False)
        return image

    def _refuse(self, photo: str, box: Box, image: np.ndarray) -> None:
        self._refused.add(photo)  # one warning for each photo
        height, width = image.shape[:2]
        get_root_logger().warning(
            f"the pseudo-label of {photo} is {width} x {height} pixels, and the crop {box} does "
            "not fit in: its crops begin with the photo itself. Make it again from the photo as "
            "it is now with `wxr label init`"
        )


def _holds(image: np.ndarray, box: Box, shape: tuple[int, int]) -> bool:
    """Return whether `box` lies in `image` and gives a crop of `shape`.

    A side of the photo that is smaller than the crop is padded (see data.crops), so the box then
    spans that whole side.
    """
    height, width = image.shape[:2]
    side = shape[0]
    if shape != (side, side) or box.right > width or box.bottom > height:
        return False
    return _fits(box.right - box.left, width, side) and _fits(box.bottom - box.top, height, side)


def _fits(length: int, whole: int, side: int) -> bool:
    """Return whether `length` pixels of a `whole` side give `side` pixels, padded if necessary."""
    return length == side or length == whole < side
