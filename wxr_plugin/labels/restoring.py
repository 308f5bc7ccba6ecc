"""Restoration of real photos by restorers, each once, into a folder next to the label store."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from wxr_plugin.data.images.io import BadImageError, read_image, write_image
from wxr_plugin.data.real_photos import RealPhotos
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.inference.specs import RestorerSpec
from wxr_plugin.labels.labelling import READERS
from wxr_plugin.labels.store import content_hash
from wxr_plugin.utils.safe_paths import safe_join

LONGEST_NAME = 200
"""Bytes of a photo's name in the name of a file; file systems allow 255."""


class Restorations:
    """The folder STORE.candidates: restorations of the photos as PNG, in a folder by restorer.

    A file's name contains a hash of the photo, and its folder's one of the restorer's weights and
    settings, so that an outdated file is never taken for the restoration of a photo.
    """

    def __init__(self, store: Path):
        self.root = store.with_name(f"{store.name}.candidates")

    def file(self, spec: RestorerSpec, digest: str, key: str, content: str) -> Path:
        """Return the path of the restoration of photo `key` with that `content_hash`."""
        # safe_join keeps names such as ".." inside the folder.
        folder = safe_join(self.root, _short(f"{spec.name}-{digest}"))
        *parents, name = [_short(part) for part in key.split("/")]
        file_name = f"{name}.{content[:12]}.png"
        return safe_join(folder, "/".join([*parents, file_name]))

    def remove(self) -> None:
        """Delete the folder with everything in it."""
        shutil.rmtree(self.root, ignore_errors=True)


class Restored(msgspec.Struct):
    """Counts of a pass of one restorer."""

    made: int = 0
    """Photos it restored."""
    reused: int = 0
    """Photos it had restored before."""
    failed: list[str] = msgspec.field(default_factory=list)
    """A line for each photo that it could not restore."""

    def __str__(self) -> str:
        return f"restored {self.made}, reused {self.reused}, failed {len(self.failed)}"


def photo_contents(
    photos: RealPhotos, progress: Callable[[int, str], None]
) -> tuple[dict[str, str], list[str]]:
    """Return name -> `content_hash` of the file of each readable photo, and a line for each other.

    `progress(1, "")` is called for each photo.
    """

    # Name, content hash and error of a photo.
    def look(key: str) -> tuple[str, str, str]:
        place = photos.path(key)
        try:
            data = photos.encoded(key)
            read_image(data, place)  # raises if it cannot be decoded
            return key, content_hash(data), ""
        except BadImageError as error:
            return key, "", str(error)

    contents: dict[str, str] = {}
    failed: list[str] = []
    with ThreadPoolExecutor(READERS) as readers:
        for key, content, reason in readers.map(look, photos.keys()):
            progress(1, "")
            if reason:
                failed.append(reason)
            else:
                contents[key] = content
    return contents, failed


def restore_photos(
    photos: RealPhotos,
    files: dict[str, Path],
    spec: RestorerSpec,
    settings: dict[str, Any],
    progress: Callable[[int, Restored], None],
) -> Restored:
    """Write the restoration of each photo of `files` (name -> file), unless its file exists.

    The restorer is loaded only if a file is missing, and released afterwards. `settings` are those
    of Restorer. A photo that it cannot restore is named in `failed` and tried again by the next
    call; the others are restored. Each file appears atomically.

    Raises:
        WxrError: the restorer cannot be loaded, or a file cannot be written.
    """
    todo = {key: file for key, file in files.items() if not file.is_file()}
    result = Restored(reused=len(files) - len(todo))
    progress(result.reused, result)
    if not todo:
        return result
    with _loaded(spec, settings) as restorer:
        for key, file in todo.items():
            image, reason = _try(restorer, photos, key)
            if image is None:
                result.failed.append(f"{photos.path(key)}: {spec.name}: {reason}")
            else:
                _write(file, image)
                result.made += 1
            progress(1, result)
    return result


def check_names(specs: Sequence[RestorerSpec], taken: Sequence[str]) -> None:
    """Raise WxrError if two restorers have one name, or one of those in `taken`."""
    names = [*taken, *(spec.name for spec in specs)]
    for name in taken:
        if names.count(name) > 1:
            raise WxrError(f"a restorer cannot be called '{name}'; give it another name: NAME=PATH")
    for spec in specs:
        if names.count(spec.name) > 1:
            raise WxrError(f"two restorers are called '{spec.name}'; give them names: NAME=PATH")


@contextlib.contextmanager
def _loaded(spec: RestorerSpec, settings: dict[str, Any]) -> Iterator[Restorer]:
    restorer = spec.load(**settings)
    try:
        yield restorer
    finally:
        # Frees the weights even if something still refers to the restorer.
        restorer.net.to("meta")
        free_gpu()


def free_gpu() -> None:
    """Release the GPU memory of dropped models."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _try(restorer: Restorer, photos: RealPhotos, key: str) -> tuple[np.ndarray | None, str]:
    """Return the restoration, or None and the reason: an error must not end the other photos."""
    try:
        return restorer.restore(photos.read(key)), ""
    except torch.OutOfMemoryError:
        reason = "does not fit the GPU's memory; give a smaller --tile"
    except Exception as error:  # a network may raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    free_gpu()
    return None, reason


def _write(file: Path, image: np.ndarray) -> None:
    try:
        write_image(file, image)
    except OSError as error:
        raise WxrError(
            f"{file}: cannot be written ({error.strerror}); earlier restorations are kept"
        ) from error


def _short(name: str) -> str:
    """Return a name that file systems accept; a hash keeps shortened names apart."""
    data = name.encode()
    if len(data) <= LONGEST_NAME and name not in ("", ".", ".."):
        return name
    # 17 bytes are left for the sign and 16 digits of the hash.
    start = data[: LONGEST_NAME - 17].decode(errors="ignore")
    digits = sha256(data).hexdigest()[:16]
    return f"{start}~{digits}"
