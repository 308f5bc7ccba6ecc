"""Images of any kind as photos, and photos as the kind of image that was given."""

from collections.abc import Callable
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps

from wxr_plugin.api.restored import Restored
from wxr_plugin.data.images.decode import eight_bits, over_white
from wxr_plugin.data.images.photo import Photo, read_photo
from wxr_plugin.errors import WxrError

KINDS = "a path, an image of Pillow, a NumPy array or a torch tensor"
TOLERANCE = 1e-3
"""Distance from [0, 1] that rounding may give floats, which are clipped then."""
_SAME_MODES = ("L", "LA", "RGB", "RGBA")
"""Pillow's modes that a result has, too; other images become RGB or RGBA."""
_ORIENTATION = 0x0112
"""EXIF tag."""


class ImageError(WxrError):
    """An image that cannot be used; the message says why, and how to change it."""


class Given(NamedTuple):
    """An image that a caller gave, as a photo."""

    photo: Photo
    """Its pixels, (H, W, 3) of uint8, uint16 or float32, and its transparency."""
    back: Callable[[Photo], Any]
    """Converts a photo of the same size to the kind that was given."""


def read_given(image: Any) -> Given:
    """Return an image of any kind as a photo.

    Raises:
        ImageError: it is of no known kind, or its shape, type or values are not those of an image.
        BadImageError: its file cannot be read.
    """
    if isinstance(image, str | PathLike):
        return _of_path(image)
    if isinstance(image, Restored):
        return Given(image.photo, partial(Restored, source=image.source))
    if isinstance(image, Image.Image):
        return _of_pillow(image)
    if isinstance(image, np.ndarray):
        return _of_array(image)
    if _is_tensor(image):
        return _of_tensor(image)
    raise ImageError(f"{type(image).__name__} is no image: give {KINDS}, or a list of these")


def eight_bit_rgb(image: Any) -> np.ndarray:
    """Return an image of any kind as uint8 RGB (H, W, 3), composited over white."""
    photo = read_given(image).photo
    channels = photo.pixels
    if photo.alpha is not None:
        channels = np.dstack((photo.pixels, photo.alpha))
    if channels.dtype == np.float32:
        channels = np.round(channels * 255).astype(np.uint8)
    return np.ascontiguousarray(over_white(eight_bits(channels)))


def is_several(image: Any) -> bool:
    """Return whether `image` is several images: a list, a tuple, or a batch (N, H, W, C)."""
    if isinstance(image, list | tuple):
        return True
    return (isinstance(image, np.ndarray) or _is_tensor(image)) and image.ndim == 4


def joined(results: list[Any], image: Any) -> Any:
    """Return the results for the images of `image` as its kind: a list, or a batch."""
    if isinstance(image, np.ndarray):
        return np.stack(results) if results else image
    if _is_tensor(image):
        import torch

        return torch.stack(results) if results else image
    return results


def _is_tensor(image: Any) -> bool:
    # torch is slow to import, and nobody has a tensor without it.
    names = [(kind.__module__, kind.__name__) for kind in type(image).__mro__]
    return ("torch", "Tensor") in names


def _of_path(path: str | PathLike) -> Given:
    place = Path(path).expanduser()
    if place.is_dir():
        raise ImageError(f"{path} is a folder: give a list of its photos, or use `wxr restore`")
    return Given(read_photo(place), partial(Restored, source=place))


def _of_pillow(image: Image.Image) -> Given:
    try:
        upright = ImageOps.exif_transpose(image)
    except OSError as error:  # Pillow reads the pixels of a file only now
        raise ImageError(f"the image of Pillow cannot be read: {error}") from error
    if upright.mode.startswith("I;16"):
        given = _of_array(np.array(upright, np.uint16))
        return Given(given.photo, lambda photo: Image.fromarray(given.back(photo)))
    if upright.mode in ("I", "F"):
        raise ImageError(
            f"an image of mode {upright.mode} has no white level: give an array of uint16, or of "
            "floats in [0, 1]"
        )
    mode = upright.mode
    if mode not in _SAME_MODES:
        mode = "RGBA" if upright.has_transparency_data else "RGB"
    given = _of_array(np.array(upright.convert(mode)))
    extras = _extras(upright, mode)

    def back(photo: Photo) -> Image.Image:
        result = Image.fromarray(given.back(photo))
        result.info.update(extras)
        return result

    return Given(given.photo, back)


def _extras(image: Image.Image, mode: str) -> dict[str, Any]:
    """Return the entries of `info` that describe a result of `mode`, too."""
    kept = {}
    # A profile is for the colours of the image's own mode.
    if image.mode == mode and "icc_profile" in image.info:
        kept["icc_profile"] = image.info["icc_profile"]
    # exif_transpose has removed the orientation.
    if "exif" in image.info:
        kept["exif"] = image.info["exif"]
    return kept


def _of_array(array: np.ndarray) -> Given:
    """Return an array (H, W) or (H, W, C) with 1 to 4 channels as a photo."""
    _check_shape(array.shape)
    levels = _levels(array)
    channels = levels if levels.ndim == 3 else levels[..., None]
    count = channels.shape[2]
    colours = channels[..., : 1 if count < 3 else 3]
    alpha = np.ascontiguousarray(channels[..., -1]) if count in (2, 4) else None
    is_grey = count < 3
    rgb = np.repeat(colours, 3, axis=2) if is_grey else colours
    # torch takes no negative strides, and warns about arrays that cannot be written to.
    pixels = np.require(rgb, requirements=("C", "W"))

    def back(photo: Photo) -> np.ndarray:
        parts = cv2.cvtColor(photo.pixels, cv2.COLOR_RGB2GRAY) if is_grey else photo.pixels
        if photo.alpha is not None:
            parts = np.dstack((parts, photo.alpha))
        return parts.reshape(array.shape).astype(array.dtype, copy=False)

    return Given(Photo(pixels, alpha, is_grey), back)


def _of_tensor(tensor: Any) -> Given:
    """Return a tensor (C, H, W) with 1 to 4 channels as a photo."""
    import torch

    if tensor.ndim != 3 or tensor.shape[0] not in (1, 2, 3, 4):
        raise ImageError(
            f"a tensor of shape {tuple(tensor.shape)}: give (C, H, W) or (N, C, H, W) with 1 to 4 "
            "channels"
        )
    values = tensor.detach().cpu()
    # NumPy has no bfloat16.
    values = values.float() if values.is_floating_point() else values
    given = _of_array(values.permute(1, 2, 0).numpy())

    def back(photo: Photo) -> torch.Tensor:
        array = np.ascontiguousarray(given.back(photo).transpose(2, 0, 1))
        return torch.from_numpy(array).to(tensor.device, tensor.dtype)

    return Given(given.photo, back)


def _check_shape(shape: tuple[int, ...]) -> None:
    is_grey = len(shape) == 2
    is_image = is_grey or (len(shape) == 3 and shape[2] in (1, 2, 3, 4))
    if is_image and 0 not in shape:
        return
    hint = "give (H, W) or (H, W, C) with 1 to 4 channels"
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        hint = "channels come last in an array: array.transpose(1, 2, 0), or give a torch tensor"
    raise ImageError(f"an array of shape {shape}: {hint}")


def _levels(array: np.ndarray) -> np.ndarray:
    """Return uint8 and uint16 as they are, and floats in [0, 1] as float32."""
    if array.dtype in (np.uint8, np.uint16):
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(
            f"an array of {array.dtype}: give uint8, uint16, or floats in [0, 1], for example "
            "array.astype('uint8')"
        )
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError("the image has values that are not finite (NaN or infinity): replace them")
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        fix = "divide by 255" if low >= 0 and 2 < high <= 255 else "scale or clip them"
        raise ImageError(f"floats are in [0, 1], but these are in [{low:.4g}, {high:.4g}]: {fix}")
    return array.astype(np.float32).clip(0, 1)
