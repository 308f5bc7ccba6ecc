"""Candidates of a panel: the photo itself, its stored pseudo-label, and its restorations."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from wxr_plugin.data.crops import crop
from wxr_plugin.data.images.io import BadImageError, read_image
from wxr_plugin.data.real_photos import RealPhotos, split_key
from wxr_plugin.errors import WxrError
from wxr_plugin.labels.sources import Crops, Picture
from wxr_plugin.labels.store import LabelStore, PseudoLabel, content_hash

INPUT = "input"
"""Name of the candidate that is the photo or crop itself."""
STORED = "stored"
"""Name of the candidate that is the stored pseudo-label."""


class PanelCandidate(NamedTuple):
    """An image that may become the pseudo-label of a photo or crop, without its pixels."""

    name: str
    """INPUT, STORED, or the restorer's name."""
    source: str
    """`source` of the pseudo-label if it wins; a stored label keeps its own."""
    content: str
    """`content_hash` under which its ratings are stored."""


class Choice(msgspec.Struct):
    """The candidates for the pseudo-label of one photo or crop; no two have equal pixels."""

    photo: str
    candidates: list[PanelCandidate]
    stored: str = ""
    """Name of the candidate with the pixels of the stored label; empty without one."""


class PanelCandidates:
    """The candidates of all photos, or of their crops, as a Source for raters.

    Args:
        photos: the real photos.
        contents: name of each readable photo -> `content_hash` of its file.
        restored: restorer -> name of a photo -> file of its restoration; a photo may be missing.
        store: the store with the stored pseudo-labels.
        crops: the training's crops; whole photos when None.

    A crop's candidates are the crops of the photo, of its restorations, and of its photo's stored
    label if it has no stored label of its own.

    Attributes:
        choices: name of a photo or crop -> its candidates, for the photos that were read so far;
            iterating `groups()` once reads all.
    """

    def __init__(
        self,
        photos: RealPhotos,
        contents: Mapping[str, str],
        restored: Mapping[str, Mapping[str, Path]],
        store: LabelStore,
        crops: Crops | None = None,
    ):
        self.photos = photos
        self.contents = contents
        self.restored = restored
        self.store = store
        self.crops = crops
        # Photo, stored label and restorations, of each crop.
        self.group_size = (len(restored) + 2) * (crops.count if crops else 1)
        self.choices: dict[str, Choice] = {}
        self._keys: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self.contents)

    def groups(self) -> Iterator[Callable[[], list[Picture]]]:
        """Yield the groups, one for each photo, see Source."""
        for photo in self.contents:
            yield partial(self._pictures, photo)

    def image(self, key: str, name: str) -> np.ndarray:
        """Return the candidate `name` of the photo or crop `key`, uint8 RGB (H, W, 3).

        Raises BadImageError.
        """
        photo = self.choices[key].photo
        candidates = _PhotoCandidates(self, photo)
        return candidates.image(key, name)

    def _pictures(self, photo: str) -> list[Picture]:
        images = _PhotoCandidates(self, photo)
        # A second rater rates the candidates that the first one did.
        if photo not in self._keys:
            choices = images.choices()
            self.choices |= choices
            self._keys[photo] = list(choices)
        pictures = []
        for key in self._keys[photo]:
            for name, _, content in self.choices[key].candidates:
                read = partial(images.image, key, name)
                place = f"{key} ({name})"
                pictures.append(Picture(key, content, place, read))
        return pictures


class _PhotoCandidates:
    """The images of one photo, each of which is decoded at most once."""

    def __init__(self, parent: PanelCandidates, photo: str):
        self.parent = parent
        self.photo = photo
        self._images: dict[str, np.ndarray | None] = {}

    def choices(self) -> dict[str, Choice]:
        """Return the choice of the photo, or of each of its crops, keyed by name."""
        keys: Iterable[str] = [self.photo]
        crops = self.parent.crops
        if crops:
            height, width = self.whole(INPUT).shape[:2]
            keys = crops.boxes(self.photo, height, width)
        return {key: self._choice(key) for key in keys}

    def image(self, key: str, name: str) -> np.ndarray | None:
        """Return the candidate `name` for `key`; None without one."""
        if name == STORED:
            return self._stored(key)
        return self._cut(key, self.whole(name))

    def whole(self, name: str) -> np.ndarray | None:
        """Return the photo, one restoration of it, or the stored label of the whole photo."""
        if name not in self._images:
            self._images[name] = self._load(name)
        return self._images[name]

    def _choice(self, key: str) -> Choice:
        """Return the candidates of a photo or crop; of equal images only the first."""
        by_pixels: dict[str, PanelCandidate] = {}
        stored = ""
        for name in (INPUT, *self.parent.restored, STORED):
            image = self.image(key, name)
            if image is None:
                continue
            pixels = content_hash(image)
            candidate = self._candidate(key, name, pixels)
            # Of equal images the first name counts: a stored label that is a restorer's image, too.
            first = by_pixels.setdefault(pixels, candidate)
            if name == STORED:
                stored = first.name
        # The sort is stable, so restorers keep their order.
        order = {INPUT: 0, STORED: 1}
        candidates = sorted(by_pixels.values(), key=lambda item: order.get(item.name, 2))
        return Choice(self.photo, candidates, stored)

    def _candidate(self, key: str, name: str, pixels: str) -> PanelCandidate:
        """Return the candidate `name` with these `pixels` (their content hash)."""
        if name == STORED:
            label = self._label(key) or self._label(self.photo)
            return PanelCandidate(name, label.source, pixels)
        content = pixels
        # `wxr label rate` stores the rating of a whole photo under the hash of its file.
        if key == self.photo and name == INPUT:
            content = self.parent.contents[self.photo]
        return PanelCandidate(name, name, content)

    def _load(self, name: str) -> np.ndarray | None:
        """Decode an image of the whole photo; None without one."""
        if name == INPUT:
            return self.parent.photos.read(self.photo)
        if name == STORED:
            label = self._label(self.photo)
            return label.image if label else None
        file = self.parent.restored[name].get(self.photo)
        if not file:
            return None
        try:
            return read_image(file)
        except BadImageError as error:
            raise WxrError(f"{error}; delete this file and run the command again") from error

    def _stored(self, key: str) -> np.ndarray | None:
        """Return the stored label of `key`, or the crop of its photo's.

        None for a label of another size: it is not of this photo.
        """
        photo = self.whole(INPUT)
        own = self._label(key) if key != self.photo else None
        if own:
            expected = self._cut(key, photo).shape
            return own.image if own.image.shape == expected else None
        image = self.whole(STORED)
        if image is None or image.shape != photo.shape:
            return None
        return self._cut(key, image)

    def _cut(self, key: str, image: np.ndarray | None) -> np.ndarray | None:
        """Return the crop `key` of an image of the whole photo, or the image for the photo."""
        if image is None or key == self.photo:
            return image
        _, box = split_key(key)
        if box is None:
            return image
        return crop(image, box, self.parent.crops.size)

    def _label(self, key: str) -> PseudoLabel | None:
        return self.parent.store.get_pseudo(key)
