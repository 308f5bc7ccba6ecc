"""The first half of a benchmark: every photo restored by every method, each restored once."""

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
from wxr_plugin.utils.progress import Advance
from wxr_plugin.utils.safe_paths import safe_join

if TYPE_CHECKING:
    from wxr_plugin.inference.restorer import Restorer

IMAGES = "images"
Fail = Callable[[str, str], None]
"""Called with the name of a photo and the reason of its failure."""
NEW = "not restored before"
"""Reason to restore a photo of which no restoration was recorded."""


def image_file(folder: Path, method: str, test_set: str, photo: str) -> Path:
    """Return the file of the restoration of a photo.

    Raises:
        UnsafeNameError: a name that leads out of the folder.
    """
    of_set = safe_join(folder / IMAGES, f"{method}/{test_set}")
    return safe_join(of_set, f"{photo}.png")


def stale_reason(method: Method, entry: Restored | None, lq: str, file: Path) -> str:
    """Return why a photo has to be restored, empty if its restoration is up to date.

    Args:
        method: restores the photo.
        entry: record of the earlier restoration, if there is one.
        lq: hash of the photo.
        file: image of the earlier restoration.
    """
    if entry is None:
        return NEW
    if entry.lq != lq:
        return "the photo changed"
    # Earlier versions of this package may have recorded other keys.
    keys = dict.fromkeys([*method.protocol, *entry.protocol])
    for key in keys:
        old = entry.protocol.get(key, "")
        new = method.protocol.get(key, "")
        if old == new:
            continue
        # Digests would only make the line long.
        if len(old + new) >= 24:
            return f"the {key} changed"
        return f"the {key} changed from {old} to {new}"
    if not file.is_file() or file.stat().st_size != entry.size:
        return "its image is gone or changed"
    return ""


class Job(NamedTuple):
    """The photos of one set that one method has to restore."""

    test_set: BenchmarkSet
    cells: Cells
    todo: list[Photo]
    fail: Fail


def record_existing(job: Job, files: dict[str, Path], hashes: Hashes) -> None:
    """Record images that exist already: the photos themselves, or those of a folder.

    `files` has the image of each photo, keyed by its name.
    """
    for photo in job.test_set.photos:
        try:
            if photo.name not in files:
                first_file = next(iter(files.values()))
                raise WxrError(f"no image of that name in {first_file.parent}")
            _record(job, photo, files[photo.name], hashes)
        except (WxrError, OSError) as error:
            job.fail(photo.name, one_line(error))


def _record(job: Job, photo: Photo, file: Path, hashes: Hashes) -> None:
    lq = hashes.content(photo.lq)
    content = hashes.content(file)
    entry = job.cells.restored.get(photo.name)
    # Images that are recorded already need not be decoded again.
    if entry and entry.lq == lq and entry.content == content:
        return
    height, width = read_image(file).shape[:2]
    entry = Restored(
        image=photo.name,
        lq=lq,
        protocol={},
        content=content,
        size=file.stat().st_size,
        width=width,
        height=height,
    )
    job.cells.add(entry)


class Restoring(NamedTuple):
    """The restoring of photos with one method.

    Attributes:
        method: the method.
        folder: folder of the benchmark.
        device: cpu, cuda, …; the GPU if there is one if None.
        versions: digest of the versions of packages.
    """

    method: Method
    folder: Path
    device: str | None
    versions: str

    def run(self, jobs: list[Job], costs: Cells, advance: Advance) -> None:
        """Restore the photos of `jobs`; each image and its record are written immediately.

        If one photo cannot be restored, this is reported to its job, and the others are restored.

        Args:
            jobs: the photos of each set.
            costs: journal for the cost of the network.
            advance: called after each photo.

        Raises:
            WxrError: the method cannot be loaded, or an image cannot be written.
        """
        before = cost.memory_used()
        with self._loaded() as restorer:
            self._warm_up(restorer, jobs, costs)
            for job in jobs:
                for photo in job.todo:
                    self._try(restorer, job, photo, before)
                    advance(1, "")

    def _try(self, restorer: "Restorer", job: Job, photo: Photo, before: float | None) -> None:
        try:
            entry = self._restored(restorer, job.test_set.name, photo, before)
            job.cells.add(entry)
        except UnwritableError:  # a full disk fails every photo, so the run ends
            raise
        except Exception as error:  # a network may raise anything; the other photos are restored
            job.fail(photo.name, one_line(error))
            _free_gpu()

    def _restored(
        self,
        restorer: "Restorer",
        test_set: str,
        photo: Photo,
        before: float | None,
    ) -> Restored:
        data = photo.lq.read_bytes()
        lq = read_image(data, str(photo.lq))
        usage = cost.measured(restorer.device, before)
        with usage as taken, as_stated(restorer, self.method.settings):
            image = restorer.restore(lq)
        file = image_file(self.folder, self.method.name, test_set, photo.name)
        written = _write(file, image)
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
        settings = dict(self.method.settings)
        if settings["precision"] == "fp32":
            del settings["precision"]
        if self.method.options.sampling:
            settings["sampling"] = self.method.options.sampling
        restorer = self.method.spec.load(device=self.device, **settings)
        try:
            yield restorer
        finally:
            # Frees the weights even if something still refers to the restorer.
            restorer.net.to("meta")
            _free_gpu()

    def _warm_up(self, restorer: "Restorer", jobs: list[Job], costs: Cells) -> None:
        """Run the network once, and count its operations unless they are recorded."""
        photo = _first_photo(jobs)
        if photo is None:
            return
        if costs.cost and costs.cost.protocol == self.method.protocol:
            with contextlib.suppress(Exception):  # an error is raised again for each photo
                cost.warm_up(restorer, photo)
            return
        macs = None
        note = ""
        try:
            macs = cost.macs_per_megapixel(restorer, photo)
        except Exception as error:  # networks with operations that the counter does not know
            note = one_line(error)
        entry = Cost(
            protocol=self.method.protocol,
            parameters=cost.parameters(restorer),
            macs_per_megapixel=macs,
            note=note,
        )
        costs.add(entry)


@contextlib.contextmanager
def as_stated(restorer: "Restorer", settings: dict[str, Any]) -> Iterator[None]:
    """Let `restorer` cut photos as `settings` say, during the block.

    Raises:
        WxrError: memory ran out, and the photo was cut into smaller tiles.
    """
    restorer.tile = settings["tile"]
    restorer.overlap = settings["overlap"]
    yield
    if restorer.tile != settings["tile"]:
        tile = restorer.tile
        raise WxrError(
            f"memory ran out; tiles of {tile} pixels fit: set tile: {tile}, so that the protocol "
            f"states it"
        )


class UnwritableError(WxrError):
    """An image that could not be written, for example to a full disk."""


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
    """Return the name of a device in results."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads"


def _first_photo(jobs: list[Job]) -> np.ndarray | None:
    """Return the first photo that can be read as uint8 RGB (H, W, 3)."""
    photos = [photo for job in jobs for photo in job.todo]
    for photo in photos:
        with contextlib.suppress(WxrError):
            return read_image(photo.lq)
    return None


def _free_gpu() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def one_line(error: Exception) -> str:
    """Return an error on one line, with its type if it is not one of ours."""
    type_name = type(error).__name__
    text = plain(error) or type_name
    if isinstance(error, WxrError | OSError):
        return text
    return f"{type_name}: {text}"
