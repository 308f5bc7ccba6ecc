"""Real photos and their names, which training and labelling share to look up stored labels."""

import copy
import re
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import NamedTuple

import numpy as np

from wxr_plugin.data.choice import weather_of
from wxr_plugin.data.crops import Box
from wxr_plugin.data.images.io import list_images
from wxr_plugin.data.images.store import ImageStore
from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.errors import WxrError

_CROP = re.compile(r"(?P<photo>.+)@(?P<box>\d+,\d+,\d+,\d+)")

Root = str | PathLike
Roots = Root | Mapping[str, Root]
"""A folder or .lmdb of photos, or one for each weather: {"rain": …, "haze": …, "snow": …}."""


class RealPhoto(NamedTuple):
    """Name of one photo in labels, and its place."""

    key: str
    """`name`, below the weather's name if each weather has its own root (rain/street)."""
    weather: int
    """Index in WEATHERS; -1 if unknown."""
    store: ImageStore
    name: str
    """Its key in `store`."""


class RealPhotos:
    """Photos of one root, or of one root for each weather, in the order of roots and names.

    The weather is that of the root, or of the sub-folder (rain/…) of a single root.

    Args:
        roots: a root, or weather -> root.
        open_root: opens a root.

    Attributes:
        photos: every photo.
        empty: sub-folders of a single root that have a weather's name and hold no images.

    Raises:
        WxrError: a root does not exist or holds no images; the message names the weather.
    """

    def __init__(self, roots: Roots, open_root: Callable[[Root], ImageStore] = ImageStore):
        self.photos: list[RealPhoto] = []
        self.empty: list[str] = []
        if isinstance(roots, Mapping):
            if not roots:
                raise WxrError("no photos: name a folder or .lmdb for at least one weather")
            for weather, root in roots.items():
                self.photos += _photos_of(weather, root, open_root)
        else:
            self.photos = _photos_of("", roots, open_root)
            self.empty = _empty_classes(self.photos[0].store)
        self._by_key = {photo.key: photo for photo in self.photos}

    def __len__(self) -> int:
        return len(self.photos)

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    def keys(self) -> list[str]:
        """Return every key, in the order of `photos`."""
        return [photo.key for photo in self.photos]

    def subset(self, keys: Iterable[str]) -> "RealPhotos":
        """Return the photos with these keys, in the order of `keys`."""
        chosen = copy.copy(self)
        chosen.photos = [self._by_key[key] for key in keys]
        chosen._by_key = {photo.key: photo for photo in chosen.photos}
        return chosen

    def pixels(self, key: str) -> int | None:
        """Return a photo's number of pixels without decoding it; None if unknown."""
        photo = self._by_key[key]
        return photo.store.pixels(photo.name)

    def path(self, key: str) -> str:
        """Return the path of a photo for messages and results: its file, or LMDB/name."""
        photo = self._by_key[key]
        return photo.store.path(photo.name)

    def encoded(self, key: str) -> bytes:
        """Return the bytes of a photo's file. Raises BadImageError if they cannot be read."""
        photo = self._by_key[key]
        return photo.store.encoded(photo.name)

    def read(self, key: str) -> np.ndarray:
        """Return a photo as uint8 RGB (H, W, 3). Raises BadImageError."""
        photo = self._by_key[key]
        return photo.store.read(photo.name)

    def weather(self, key: str) -> int:
        """Return the index in WEATHERS of a photo's weather; -1 if unknown."""
        return self._by_key[key].weather


def crop_key(photo: str, box: Box) -> str:
    """Return the name of the crop at `box` of the photo `photo`: `photo@left,top,right,bottom`."""
    return f"{photo}@{box}"


def split_key(key: str) -> tuple[str, Box | None]:
    """Split a key of `crop_key` into the photo's key and the box; None for a whole photo."""
    match = _CROP.fullmatch(key)
    if match is None:
        return key, None
    sides = map(int, match["box"].split(","))
    return match["photo"], Box(*sides)


def _photos_of(
    weather: str,
    root: Root,
    open_root: Callable[[Root], ImageStore],
) -> list[RealPhoto]:
    """Return the photos of a root; `weather` is empty for a root of all weathers."""
    if weather and weather not in WEATHERS:
        raise WxrError(f"{root}: unknown weather '{weather}'; take one of {', '.join(WEATHERS)}")
    try:
        store = open_root(root)
    except WxrError as error:
        # The same class of error, so that a wrong option is still reported as one.
        message = f"{weather} photos: {error}" if weather else str(error)
        raise type(error)(message) from error
    names = store.keys()
    if not weather:
        return [RealPhoto(name, weather_of(name), store, name) for name in names]
    index = WEATHERS.index(weather)
    return [RealPhoto(f"{weather}/{name}", index, store, name) for name in names]


def _empty_classes(store: ImageStore) -> list[str]:
    if store.is_lmdb:
        return []
    empty = []
    for weather in WEATHERS:
        folder = store.root / weather
        if folder.is_dir() and not list_images(folder):
            empty.append(str(folder))
    return empty
