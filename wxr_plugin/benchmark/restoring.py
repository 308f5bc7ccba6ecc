"""The first half of a benchmark: every photo restored by every method, each once."""

import contextlib
import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from wxr_plugin.benchmark import cost
from wxr_plugin.benchmark.cells import Cells, Cost, Restored
from wxr_plugin.benchmark.hashes import Hashes, content_of
from wxr_plugin.benchmark.methods import Method
from wxr_plugin.benchmark.sets import BenchmarkSet, Photo
from wxr_plugin.data.images.io import encode, read_image
from wxr_plugin.errors import WxrError, plain
from wxr_plugin.utils.files import write_bytes
from wxr_plugin.utils.safe_paths import safe_join

if TYPE_CHECKING:
    from wxr_plugin.inference.restorer import Restorer

IMAGES = "images"
Fail = Callable[[str, str], None]
"""Told the photo's name and what went wrong."""


def image_file(folder: Path, method: str, which: str, photo: str) -> Path:
    """Return where the restoration of a photo is kept.

    Raises UnsafeNameError for a name that leads elsewhere.
    """
    return safe_join(safe_join(folder / IMAGES, f"{method}/{which}"), f"{photo}.png")


def why(method: Method, kept: Restored | None, lq: str, file: Path) -> str:
    """Why a photo is to be restored; empty if `kept`, with the image in `file`, is up to date."""
    if kept is None:
        return "not restored before"
    if kept.lq != lq:
        return "the photo changed"
    for key in dict.fromkeys([*method.protocol, *kept.protocol]):
        old, new = kept.protocol.get(key, ""), method.protocol.get(key, "")
        if old != new:
            return f"the {key} changed" + (f" from {old} to {new}" if len(old + new) < 24 else "")
    if not file.is_file() or file.stat().st_size != kept.size:
        return "its image is gone or changed"
    return ""


class Job(NamedTuple):
    """The photos of one set that one method has to restore."""

    which: BenchmarkSet
    cells: Cells
    todo: list[Photo]
    fail: Fail


def note_elsewhere(job: Job, files: dict[str, Path], hashes: Hashes) -> None:
    """Enter images that are not made here: photos as they are, and those of a folder; `files` has them by photo."""
    for photo in job.which.photos:
        try:
            if photo.name not in files:
                raise WxrError(f"no image of that name in {next(iter(files.values())).parent}")
            file, kept = files[photo.name], job.cells.restored.get(photo.name)
            lq, content = hashes.content(photo.lq), hashes.content(file)
            if kept is None or (kept.lq, kept.content) != (lq, content):
                height, width = read_image(file).shape[:2]
                job.cells.add(
                    Restored(photo.name, lq, {}, content, file.stat().st_size, width, height)
                )
        except (WxrError, OSError) as error:
            job.fail(photo.name, one_line(error))


class Restoring(NamedTuple):
    """One method at work.

    `folder` is the benchmark's; `versions` the digest of the packages' versions.
    """

    method: Method
    folder: Path
    device: str | None
    versions: str

    def run(self, jobs: list[Job], costs: Cells, advance: Callable[[int, object], None]) -> None:
        """Restore the photos of `jobs`; each image and its entry are written as soon as they are there.

        Raises WxrError if the method cannot be loaded or an image cannot be written. What is wrong
        with one photo is told to its job, and the others go on.
        """
        before = cost.memory_used()
        with self._loaded() as restorer:
            self._warm(restorer, jobs, costs)
            for job, photo in [(each, photo) for each in jobs for photo in each.todo]:
                try:
                    job.cells.add(self._restored(restorer, job.which.name, photo, before))
                except UnwritableError:
                    raise
                except Exception as error:  # a network may raise anything; the other photos go on
                    job.fail(photo.name, one_line(error))
                    _free_gpu()
                advance(1, "")

    def _restored(
        self, restorer: "Restorer", which: str, photo: Photo, before: float | None
    ) -> Restored:
        data = photo.lq.read_bytes()
        lq = read_image(data, str(photo.lq))
        with (
            cost.measured(restorer.device, before) as taken,
            as_stated(restorer, self.method.settings),
        ):
            image = restorer.restore(lq)
        written = _write(image_file(self.folder, self.method.name, which, photo.name), image)
        height, width = image.shape[:2]
        return Restored(
            image=photo.name,
            lq=content_of(data),
            protocol=self.method.protocol,
            content=content_of(written),
            size=len(written),
            width=width,
            height=height,
            seconds=taken.seconds,
            peak_mib=taken.peak_mib,
            device=device_name(restorer.device),
            versions=self.versions,
        )

    @contextlib.contextmanager
    def _loaded(self) -> Iterator["Restorer"]:
        settings = {
            key: value
            for key, value in self.method.settings.items()
            if (key, value) != ("precision", "fp32")
        }
        if self.method.options.sampling:
            settings["sampling"] = self.method.options.sampling
        restorer = self.method.spec.load(device=self.device, **settings)
        try:
            yield restorer
        finally:
            restorer.net.to("meta")  # gives its memory back whoever still holds the restorer
            _free_gpu()

    def _warm(self, restorer: "Restorer", jobs: list[Job], costs: Cells) -> None:
        """Warm the network up, and count what it takes unless that is known."""
        photo = _first_photo(jobs)
        if photo is None:
            return
        if costs.cost and costs.cost.protocol == self.method.protocol:
            with contextlib.suppress(Exception):  # what is wrong with it shows on the photos
                cost.warm_up(restorer, photo)
            return
        note, macs = "", None
        try:
            macs = cost.macs_per_megapixel(restorer, photo)
        except Exception as error:  # networks with operations that the counter does not know
            note = one_line(error)
        costs.add(Cost(self.method.protocol, cost.parameters(restorer), macs, note))


@contextlib.contextmanager
def as_stated(restorer: "Restorer", settings: dict[str, Any]) -> Iterator[None]:
    """Cut photos as `settings` say.

    Raises WxrError if memory ran out, so that this one was cut into smaller tiles.
    """
    restorer.tile, restorer.overlap = settings["tile"], settings["overlap"]
    yield
    if restorer.tile != settings["tile"]:
        tile = restorer.tile
        raise WxrError(
            f"memory ran out; tiles of {tile} pixels fit: set tile: {tile}, so that the protocol "
            f"says so"
        )


class UnwritableError(WxrError):
    """An image that could not be written, say to a full disk."""


def _write(file: Path, image: np.ndarray) -> bytes:
    data = encode(image, ".png")
    try:
        write_bytes(file, data)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise WxrError(
                f"the name of its restored image is too long for this disk: {file.name}"
            ) from error
        raise UnwritableError(
            f"{file}: cannot be written ({error.strerror}); what is done is kept"
        ) from error
    return data


def device_name(device: torch.device) -> str:
    """What a device is called in results."""
    return (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"cpu, {torch.get_num_threads()} threads"
    )


def _first_photo(jobs: list[Job]) -> np.ndarray | None:
    for photo in (photo for job in jobs for photo in job.todo):
        with contextlib.suppress(WxrError):
            return read_image(photo.lq)
    return None


def _free_gpu() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def one_line(error: Exception) -> str:
    """An error for a list of failures."""
    text = plain(error) or type(error).__name__
    return text if isinstance(error, WxrError | OSError) else f"{type(error).__name__}: {text}"
