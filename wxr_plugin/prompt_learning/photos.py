"""Photos for weather prompts, whole and cropped, as image features of a frozen CLIP."""

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
"""Share of the photos of a folder that the accuracy is measured on."""
SEVERITY = (0.3, 1.0)
"""Range of the severity of synthetic weather."""


@dataclass(frozen=True)
class Photo:
    """Photo of a class; with `synthetic`, the weather is added to a clear photo."""

    weather: str
    store: ImageStore
    key: str
    synthetic: bool
    held_out: bool


@dataclass
class EncodedPhotos:
    """Image features of photos and their crops."""

    features: Tensor
    """(N, D), of unit length."""
    classes: Tensor
    """(N,), indices into WEATHERS."""
    held_out: Tensor
    """(N,), bool; crops of a held-out photo are held out too."""
    bad: list[str] = field(default_factory=list)
    """Error message of each photo that was skipped."""


def list_photos(
    folders: Mapping[str, str], synthetic: str | None = None, seed: int = 0
) -> list[Photo]:
    """List the photos of `folders` and those of `synthetic`, the latter once for each weather.

    A fifth of each folder is held out. The choice depends on the names of the photos and `seed`, so
    that a photo with synthetic weather is held out in all four weathers.

    Args:
        folders: weather -> folder or LMDB.
        synthetic: folder or LMDB of clear photos, to which weather is added.
        seed: seed of the held-out fifth.

    Raises:
        PromptError: a weather has no photos, or a folder has fewer than two; the message names the
            weather.
    """
    photos: list[Photo] = []
    for weather, folder in folders.items():
        photos += _photos_of_class(weather, folder, seed)
    if synthetic:
        photos += _photos_in(synthetic, WEATHERS, True, seed)
    present = {photo.weather for photo in photos}
    for weather in WEATHERS:
        if weather not in present:
            raise PromptError(
                f"no photos of the class '{weather}': give --{weather} FOLDER or --synthetic "
                "CLEAR_FOLDER"
            )
    return photos


def _photos_of_class(weather: str, folder: str, seed: int) -> list[Photo]:
    try:
        return _photos_in(folder, (weather,), False, seed)
    except WxrError as error:
        raise PromptError(
            f"the class '{weather}' has too few photos: {error}. Put some there, give another "
            f"--{weather} FOLDER, or leave it out and give --synthetic CLEAR_FOLDER"
        ) from error


def _photos_in(root: str, weathers: Iterable[str], synthetic: bool, seed: int) -> list[Photo]:
    store = ImageStore(root)

    def rank(key: str) -> bytes:
        return hashlib.sha256(f"{seed} {key}".encode()).digest()

    # The order by hash is random but the same on every machine.
    keys = sorted(store.keys(), key=rank)
    if len(keys) < 2:
        raise PromptError(
            f"{root} has {len(keys)} photos; prompts need at least two, one of them to test with"
        )
    count = max(1, round(HELD_OUT * len(keys)))
    held_out = set(keys[:count])
    photos = []
    for weather in weathers:
        photos += [Photo(weather, store, key, synthetic, key in held_out) for key in keys]
    return photos


def encode(
    photos: Iterable[Photo],
    guide: "ClipGuide",
    crops: int = 4,
    crop_size: int = 224,
    seed: int = 0,
    match_tone: bool = False,
) -> EncodedPhotos:
    """Return the image features of each photo and of `crops` random squares of it.

    Crops and synthetic weather depend only on `seed`, the name of the photo and its weather.

    Args:
        photos: the photos; those that cannot be read are skipped and listed in `bad`.
        guide: the CLIP.
        crops: number of random squares of each photo.
        crop_size: side of a square in pixels, at most the shorter side of the photo.
        seed: seed of crops and weather.
        match_tone: give clear photos of `synthetic` the tone of a copy with weather; see
            `with_tone_of_weather`.
    """
    features: list[Tensor] = []
    classes: list[int] = []
    held_out: list[bool] = []
    bad: list[str] = []
    for photo in photos:
        try:
            rgb = photo.store.read(photo.key)
        except BadImageError as error:
            bad.append(str(error))
            continue
        rng = generator(seed, photo.key, photo.weather)
        image = to_tensor(_with_weather(rgb, photo, rng, match_tone))
        views = encode_views(guide, image, crops, crop_size, rng)  # (1 + crops, D)
        features.append(views)
        classes += [WEATHERS.index(photo.weather)] * len(views)
        held_out += [photo.held_out] * len(views)
    if not features:
        raise PromptError("none of the photos could be read: " + "; ".join(bad[:5]))
    return EncodedPhotos(torch.cat(features), torch.tensor(classes), torch.tensor(held_out), bad)


def generator(*parts: object) -> np.random.Generator:
    """Return a random generator whose seed is a hash of `parts`."""
    text = " ".join(map(str, parts))
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def _with_weather(
    rgb: np.ndarray, photo: Photo, rng: np.random.Generator, match_tone: bool
) -> np.ndarray:
    image = rgb.astype(np.float32) / 255
    if not photo.synthetic:
        return image
    if photo.weather in KINDS:
        return add_weather(image, photo.weather, rng.uniform(*SEVERITY), rng)
    return with_tone_of_weather(image, rng) if match_tone else image


def with_tone_of_weather(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a clear photo with the tone that a random weather would give it.

    Weather makes photos brighter and less colourful, so prompts that are learnt from clear photos
    as they are take a colour cast for clear, and L_wpl pushes towards it. Here each channel gets
    the mean and the standard deviation of a copy with weather, so that tone says nothing about the
    class and detail decides. Our choice.

    Args:
        image: float32 RGB (H, W, 3) in [0, 1].
        rng: draws the weather, one of WEATHERS, and its severity.
    """
    kind = str(rng.choice(WEATHERS))
    weathered = add_weather(image, kind, rng.uniform(*SEVERITY), rng)
    gain = weathered.std((0, 1)) / np.maximum(image.std((0, 1)), 1e-3)
    toned = (image - image.mean((0, 1))) * gain + weathered.mean((0, 1))
    return np.clip(toned, 0, 1)


@torch.no_grad()
def encode_views(
    guide: "ClipGuide", image: Tensor, crops: int, size: int, rng: np.random.Generator
) -> Tensor:
    """Return features (1 + crops, D), on the CPU, of an image and of `crops` random squares of it.

    The image is (3, H, W) in [0, 1]; the squares have sides of `size` pixels, at most the shorter
    side of the image.
    """
    views = [guide.encode_image(image[None].to(guide.device))]
    # The squares have one size, so they are encoded as one batch.
    if crops:
        squares = torch.stack([_square(image, size, rng) for _ in range(crops)])
        views.append(guide.encode_image(squares.to(guide.device)))
    return torch.cat(views).cpu()


def _square(image: Tensor, size: int, rng: np.random.Generator) -> Tensor:
    height, width = image.shape[-2:]
    size = min(size, height, width)
    top = rng.integers(height - size + 1)
    left = rng.integers(width - size + 1)
    return image[:, top : top + size, left : left + size]
