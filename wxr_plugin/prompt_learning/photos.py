"""The photos that weather prompts learn from: whole and cropped, as frozen image features of a CLIP."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from wxr_plugin.conditioning.prompts import PromptError
from wxr_plugin.data.crops import to_tensor
from wxr_plugin.data.images.io import BadImageError
from wxr_plugin.data.images.store import ImageStore
from wxr_plugin.data.weather.synthesis import KINDS, WEATHERS, add_weather
from wxr_plugin.errors import WxrError

if TYPE_CHECKING:
    from wxr_plugin.conditioning.clip import ClipGuide

HELD_OUT = 0.2
SEVERITY = (0.3, 1.0)


@dataclass(frozen=True)
class Photo:
    """One photo of a class; with `synthetic` its weather is drawn on a clear photo."""

    weather: str
    store: ImageStore
    key: str
    synthetic: bool
    held_out: bool


@dataclass
class EncodedPhotos:
    """Unit image features (N, D) of photos and crops, their classes (N,) and whether they are held out (N,)."""

    features: Tensor
    classes: Tensor
    held_out: Tensor
    bad: list[str] = field(default_factory=list)
    """What was wrong with each photo that was passed over."""


def list_photos(
    folders: Mapping[str, str], synthetic: str | None = None, seed: int = 0
) -> list[Photo]:
    """All photos of `folders` (weather -> folder or LMDB), and those of `synthetic`, clear ones, once for each weather.

    A fifth of each folder is held out, chosen by the photos' names and `seed`, so that a photo with
    synthetic weather is held out in all its forms.

    Raises:
        PromptError: a weather has no photos, or a folder has fewer than two; it names the weather.
    """
    photos = [
        photo for weather, folder in folders.items() for photo in _class(weather, folder, seed)
    ]
    if synthetic:
        photos += _of(synthetic, WEATHERS, True, seed)
    for weather in WEATHERS:
        if not any(photo.weather == weather for photo in photos):
            raise PromptError(
                f"no photos of the class '{weather}': give --{weather} FOLDER or --synthetic "
                f"CLEAR_FOLDER"
            )
    return photos


def _class(weather: str, folder: str, seed: int) -> list[Photo]:
    try:
        return _of(folder, (weather,), False, seed)
    except WxrError as error:
        raise PromptError(
            f"the class '{weather}' has too few photos: {error}. Put some there, give another "
            f"--{weather} FOLDER, or "
            "leave it out and give --synthetic CLEAR_FOLDER"
        ) from error


def _of(root: str, weathers: Iterable[str], synthetic: bool, seed: int) -> list[Photo]:
    store = ImageStore(root)
    keys = sorted(store.keys(), key=lambda key: hashlib.sha256(f"{seed} {key}".encode()).digest())
    if len(keys) < 2:
        raise PromptError(
            f"{root} has {len(keys)} photos; prompts need two at least, one of them to test with"
        )
    held_out = set(keys[: max(1, round(HELD_OUT * len(keys)))])
    return [
        Photo(weather, store, key, synthetic, key in held_out)
        for weather in weathers
        for key in keys
    ]


def encode(
    photos: Iterable[Photo], guide: "ClipGuide", crops: int = 4, crop_size: int = 224, seed: int = 0
) -> EncodedPhotos:
    """Image features of each photo and of `crops` random squares of it, `crop_size` pixels or its shorter side.

    Crops and synthetic weather (severity 0.3 to 1) depend on `seed`, the photo's name and its
    weather alone. A photo that cannot be read is passed over and named in `bad`.
    """
    features, classes, held_out, bad = [], [], [], []
    for photo in photos:
        try:
            rgb, rng = photo.store.read(photo.key), generator(seed, photo.key, photo.weather)
        except BadImageError as error:
            bad.append(str(error))
            continue
        views = encode_views(guide, to_tensor(_weathered(rgb, photo, rng)), crops, crop_size, rng)
        features.append(views)
        classes += [WEATHERS.index(photo.weather)] * len(views)
        held_out += [photo.held_out] * len(views)
    if not features:
        raise PromptError("none of the photos could be read: " + "; ".join(bad[:5]))
    return EncodedPhotos(torch.cat(features), torch.tensor(classes), torch.tensor(held_out), bad)


def generator(*of: object) -> np.random.Generator:
    """Random numbers that depend on `of` alone."""
    digest = hashlib.sha256(" ".join(map(str, of)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def _weathered(rgb: np.ndarray, photo: Photo, rng: np.random.Generator) -> np.ndarray:
    image = rgb.astype(np.float32) / 255
    if not photo.synthetic or photo.weather not in KINDS:
        return image
    return add_weather(image, photo.weather, rng.uniform(*SEVERITY), rng)


@torch.no_grad()
def encode_views(
    guide: "ClipGuide", image: Tensor, crops: int, size: int, rng: np.random.Generator
) -> Tensor:
    """Features (1 + crops, D) of an image (3, H, W) in [0, 1] and of random squares of it, on the CPU."""
    views = [guide.encode_image(image[None].to(guide.device))]
    if crops:
        squares = torch.stack([_square(image, size, rng) for _ in range(crops)])
        views.append(guide.encode_image(squares.to(guide.device)))
    return torch.cat(views).cpu()


def _square(image: Tensor, size: int, rng: np.random.Generator) -> Tensor:
    height, width = image.shape[-2:]
    size = min(size, height, width)
    top, left = rng.integers(height - size + 1), rng.integers(width - size + 1)
    return image[:, top : top + size, left : left + size]
