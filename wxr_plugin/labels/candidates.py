"""What a panel chooses from: the photo itself, what the store holds for it, and what restorers made of it."""

from collections.abc import Callable, Iterator, Mapping
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

INPUT, STORED = "input", "stored"
"""Names of the candidates that no restorer made."""


class PanelCandidate(NamedTuple):
    """One image that may become the pseudo-label of a photo or crop."""

    name: str
    """INPUT, STORED, or the restorer's name."""
    source: str
    """What the pseudo-label would say about where it came from: for a stored one, what it says now."""
    content: str
    """`content_hash` under which its ratings are stored."""


class Choice(msgspec.Struct):
    """The candidates for the pseudo-label of one photo or crop; no two of them are the same image."""

    photo: str
    candidates: list[PanelCandidate]
    stored: str = ""
    """Name of the candidate that is the stored label, which may be a restorer's; empty where nothing is stored."""


class PanelCandidates:
    """The candidates of all photos, or of their crops, as a Source for raters.

    Args:
        photos: the real photos.
        contents: the `content_hash` of the file of each photo that counts, by name.
        restored: by restorer, the file of its restoration of each photo by name; a photo may be
            missing.
        store: where stored pseudo-labels come from.
        crops: the training's crops; whole photos when None.

    A crop's candidates are the crops of the photo, of its restorations, and of its photo's stored
    label where it has no stored label of its own. `choices` has those of the photos that were
    looked at so far, by name of photo or crop; iterating `groups()` once looks at all.
    """

    def __init__(
        self,
        photos: RealPhotos,
        contents: Mapping[str, str],
        restored: Mapping[str, Mapping[str, Path]],
        store: LabelStore,
        crops: Crops | None = None,
    ):
        self.photos, self.contents, self.restored, self.store, self.crops = (
            photos,
            contents,
            restored,
            store,
            crops,
        )
        self.each = (len(restored) + 2) * (crops.count if crops else 1)
        self.choices: dict[str, Choice] = {}
        self._keys: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self.contents)

    def groups(self) -> Iterator[Callable[[], list[Picture]]]:
        """See Source."""
        return (partial(self._pictures, photo) for photo in self.contents)

    def image(self, key: str, name: str) -> np.ndarray:
        """The candidate called `name` of the photo or crop `key`, uint8 RGB (H, W, 3).

        Raises BadImageError.
        """
        return _Views(self, self.choices[key].photo).image(key, name)

    def _pictures(self, photo: str) -> list[Picture]:
        views = _Views(self, photo)
        if photo not in self._keys:
            found = views.choices()
            self.choices |= found
            self._keys[photo] = list(found)
        return [
            Picture(
                key,
                candidate.content,
                f"{key} ({candidate.name})",
                partial(views.image, key, candidate.name),
            )
            for key in self._keys[photo]
            for candidate in self.choices[key].candidates
        ]


class _Views:
    """The images of one photo, each read once while someone holds this."""

    def __init__(self, all_of: PanelCandidates, photo: str):
        self.all, self.photo = all_of, photo
        self._read: dict[str, np.ndarray | None] = {}

    def choices(self) -> dict[str, Choice]:
        """The choice of the photo, or of each of its crops."""
        crops, shape = self.all.crops, self.whole(INPUT).shape[:2]
        keys = crops.boxes(self.photo, *shape) if crops else (self.photo,)
        return {key: self._choice(key) for key in keys}

    def image(self, key: str, name: str) -> np.ndarray | None:
        """One candidate for `key`; None where there is none of that name."""
        if name == STORED:
            return self._stored(key)
        return self._cut(key, self.whole(name))

    def whole(self, name: str) -> np.ndarray | None:
        """The photo, or one restoration of it, or the stored label of the whole photo."""
        if name not in self._read:
            self._read[name] = self._load(name)
        return self._read[name]

    def _choice(self, key: str) -> Choice:
        by_pixels: dict[str, PanelCandidate] = {}
        stored = ""
        for name in (INPUT, *self.all.restored, STORED):
            if (image := self.image(key, name)) is None:
                continue
            pixels = content_hash(image)
            same = by_pixels.setdefault(pixels, self._candidate(key, name, pixels))
            stored = same.name if name == STORED else stored
        order = {INPUT: 0, STORED: 1}
        found = sorted(by_pixels.values(), key=lambda candidate: order.get(candidate.name, 2))
        return Choice(self.photo, found, stored)

    def _candidate(self, key: str, name: str, pixels: str) -> PanelCandidate:
        if name == STORED:
            return PanelCandidate(
                name, (self._label(key) or self._label(self.photo)).source, pixels
            )
        # The photo itself goes by its file, as in `wxr label rate`, whose ratings are then found.
        return PanelCandidate(
            name,
            name,
            self.all.contents[self.photo] if (key, name) == (self.photo, INPUT) else pixels,
        )

    def _load(self, name: str) -> np.ndarray | None:
        if name == INPUT:
            return self.all.photos.read(self.photo)
        if name == STORED:
            label = self._label(self.photo)
            return label.image if label else None
        file = self.all.restored[name].get(self.photo)
        try:
            return read_image(file) if file else None
        except BadImageError as error:
            raise WxrError(f"{error}; delete this file and run the command again") from error

    def _stored(self, key: str) -> np.ndarray | None:
        """The stored label of `key`, or the crop of its photo's; one of another size is not of this photo."""
        expected = self._cut(key, self.whole(INPUT)).shape
        own = self._label(key) if key != self.photo else None
        image = own.image if own else self.whole(STORED)
        if image is None:
            return None
        if own is None and image.shape == self.whole(INPUT).shape:
            image = self._cut(key, image)
        return image if image.shape == expected else None

    def _cut(self, key: str, image: np.ndarray | None) -> np.ndarray | None:
        box = split_key(key)[1] if key != self.photo else None
        return image if image is None or box is None else crop(image, box, self.all.crops.size)

    def _label(self, key: str) -> PseudoLabel | None:
        return self.all.store.get_pseudo(key)
