"""Real photos and their names: the same for training and for labelling, so that what is stored of a photo is found."""

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
    """One photo: how labels name it, and where it lies."""

    key: str
    """`name`, below the weather's name where there is a root for each (rain/street)."""
    weather: int
    """Index in WEATHERS; -1 where nothing tells it."""
    store: ImageStore
    name: str
    """Its key in `store`."""


class RealPhotos:
    """The photos of one root, or of one root for each weather, in the order of roots and names.

    The weather is that of the root, or of the sub-folder (rain/…) of a single root. Attributes:
    `photos`, and `empty`, the sub-folders of a single root that have a weather's name and hold no
    images.

    `open_root` opens a root. Raises WxrError where a root does not exist or holds no images; it
    names the weather.
    """

    def __init__(self, roots: Roots, open_root: Callable[[Root], ImageStore] = ImageStore):
        several = isinstance(roots, Mapping)
        if several and not roots:
            raise WxrError("no photos: name a folder or .lmdb for at least one weather")
        named = roots if several else {"": roots}
        self.photos = [
            photo for weather, root in named.items() for photo in _of(weather, root, open_root)
        ]
        self.empty = [] if several else _empty_classes(self.photos[0].store)
        self._by_key = {photo.key: photo for photo in self.photos}

    def __len__(self) -> int:
        return len(self.photos)

    def keys(self) -> list[str]:
        """Every key, in the order of `photos`."""
        return [photo.key for photo in self.photos]

    def subset(self, keys: Iterable[str]) -> "RealPhotos":
        """Return the photos with these keys, in the order of `keys`."""
        chosen = copy.copy(self)
        chosen.photos = [self._by_key[key] for key in keys]
        chosen._by_key = {photo.key: photo for photo in chosen.photos}
        return chosen

    def path(self, key: str) -> str:
        """Where the photo lies, for messages and results: its file, or LMDB/name."""
        photo = self._by_key[key]
        return photo.store.path(photo.name)

    def encoded(self, key: str) -> bytes:
        """The bytes of the photo's file. Raises BadImageError where there are none to be had."""
        photo = self._by_key[key]
        return photo.store.encoded(photo.name)

    def read(self, key: str) -> np.ndarray:
        """The photo as uint8 RGB (H, W, 3). Raises BadImageError."""
        photo = self._by_key[key]
        return photo.store.read(photo.name)

    def weather(self, key: str) -> int:
        """Index in WEATHERS of the photo's weather; -1 where nothing tells it."""
        return self._by_key[key].weather


def crop_key(photo: str, box: Box) -> str:
    """Name of the crop at `box` of the photo with that key: `photo@left,top,right,bottom`."""
    return f"{photo}@{box}"


def split_key(key: str) -> tuple[str, Box | None]:
    """The photo's key and the box that `crop_key` made `key` from; None for the key of a whole photo."""
    match = _CROP.fullmatch(key)
    return (match["photo"], Box(*map(int, match["box"].split(",")))) if match else (key, None)


def _of(weather: str, root: Root, open_root: Callable[[Root], ImageStore]) -> list[RealPhoto]:
    if weather and weather not in WEATHERS:
        raise WxrError(f"{root}: '{weather}' is no weather; take one of {', '.join(WEATHERS)}")
    try:
        store = open_root(root)
    except WxrError as error:
        raise type(error)(f"{weather} photos: {error}" if weather else str(error)) from error
    names = store.keys()
    if not weather:
        return [RealPhoto(name, weather_of(name), store, name) for name in names]
    return [RealPhoto(f"{weather}/{name}", WEATHERS.index(weather), store, name) for name in names]


def _empty_classes(store: ImageStore) -> list[str]:
    folders = [] if store.is_lmdb else [store.root / weather for weather in WEATHERS]
    return [str(folder) for folder in folders if folder.is_dir() and not list_images(folder)]
