"""The second half of a benchmark: every metric of every restored photo, each measured once."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wxr_plugin import metrics as metric_networks
from wxr_plugin.benchmark.cells import Cells, Score
from wxr_plugin.benchmark.metrics import NATIVE, Metric
from wxr_plugin.benchmark.restoring import Fail, one_line
from wxr_plugin.benchmark.sets import BenchmarkSet, Photo
from wxr_plugin.data.images.io import read_image
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.progress import Advance


class Scored(NamedTuple):
    """The restored photos of one method and set.

    Attributes:
        test_set: the set.
        cells: the journal that has the scores.
        images: name of a photo -> file of its restoration.
        gt: name of a photo -> hash of its ground truth.
        fail: called with the name of a photo and the reason if it cannot be measured.
    """

    test_set: BenchmarkSet
    cells: Cells
    images: dict[str, Path]
    gt: dict[str, str]
    fail: Fail

    @property
    def photos(self) -> list[Photo]:
        """The photos of the set that were restored."""
        return [photo for photo in self.test_set.photos if photo.name in self.images]


class Todo(NamedTuple):
    """Metrics that one photo lacks."""

    scored: Scored
    photo: Photo
    metrics: dict[str, Metric]


def passes(metrics: dict[str, Metric]) -> Iterator[dict[str, Metric]]:
    """Yield the metrics that are measured together.

    Those without a network come first. Each of the others is alone, so that its network is alone
    in memory.
    """
    native = {name: metric for name, metric in metrics.items() if metric.block["type"] in NATIVE}
    if native:
        yield native
    for name, metric in metrics.items():
        if name not in native:
            yield {name: metric}


def missing(scored: list[Scored], metrics: dict[str, Metric]) -> list[Todo]:
    """Return the metrics that each photo lacks.

    Of a metric of whole sets, either all photos of a set have to be measured or none.
    """
    todo = []
    for cell in scored:
        of_set = {
            name: metric
            for name, metric in metrics.items()
            if metric.of == "set" and _lacks_set(cell, name, metric)
        }
        for photo in cell.photos:
            of_image = {
                name: metric
                for name, metric in metrics.items()
                if metric.of == "image" and _lacks(cell, photo.name, name, metric)
            }
            lacking = of_image | of_set
            if not photo.gt:
                lacking = {name: metric for name, metric in lacking.items() if not metric.needs_gt}
            if lacking:
                todo.append(Todo(cell, photo, lacking))
    return todo


def score(todo: list[Todo], versions: str, advance: Advance) -> None:
    """Measure the photos of `todo` and write each score as soon as it is known.

    If one photo cannot be measured, this is reported to its `Scored`, and the others are measured.

    Args:
        todo: photos and the metrics that they lack.
        versions: digest of the versions of packages.
        advance: called after each photo.

    Raises:
        WxrError: a metric cannot be measured at all, for example because its weights are missing.
    """
    # (set and method, metric) -> what each photo adds to a metric of the whole set
    shares: dict[tuple[int, str], list[tuple[Todo, Any]]] = {}
    try:
        for item in todo:
            for name, value in _measured(item).items():
                if item.metrics[name].of == "set":
                    shares.setdefault((id(item.scored), name), []).append((item, value))
                else:
                    _record(item, name, value, versions)
            advance(1, "")
        for (_, name), of_set in shares.items():
            first = of_set[0][0]
            values = [share for _, share in of_set]
            _record_set(first.scored, name, first.metrics[name], values, versions)
    finally:
        metric_networks.forget()


def block_digest(metric: Metric) -> str:
    """Return 12 hex digits of the options of a metric; the device makes no difference."""
    block = {key: value for key, value in metric.block.items() if key != "device"}
    if weights := block.get("weights"):
        file = Path(weights)
        # Name and size stand for the content, so that files of gigabytes need not be read.
        block["weights"] = [file.name, file.stat().st_size if file.is_file() else 0]
    return hashlib.sha256(json.dumps(block, sort_keys=True, default=str).encode()).hexdigest()[:12]


def measured_of(scored: Scored, name: str, metric: Metric) -> str:
    """Return the hash of a restored photo, with that of its ground truth if the metric needs it."""
    content = scored.cells.restored[name].content
    return f"{content}:{scored.gt.get(name, '')}" if metric.needs_gt else content


def set_digest(scored: Scored, metric: Metric) -> str:
    """Return the hash of all images that a metric of the whole set is measured on."""
    contents = [measured_of(scored, photo.name, metric) for photo in scored.photos]
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()[:16]


def _lacks(scored: Scored, photo: str, name: str, metric: Metric) -> bool:
    if metric.needs_gt and photo not in scored.gt:
        return False
    entry = scored.cells.scores.get((photo, name))
    if entry is None:
        return True
    return (entry.block, entry.of) != (block_digest(metric), measured_of(scored, photo, metric))


def _lacks_set(scored: Scored, name: str, metric: Metric) -> bool:
    entry = scored.cells.scores.get(("", name))
    if entry is None:
        return True
    return (entry.block, entry.of) != (block_digest(metric), set_digest(scored, metric))


def _measured(todo: Todo) -> dict[str, Any]:
    """Return values keyed by metric; a metric that fails is reported and left out."""
    from wxr_plugin.models.base.val_metrics import measure

    values: dict[str, Any] = {}
    scored, photo = todo.scored, todo.photo
    try:
        image = _bgr(scored.images[photo.name])
        gt = _bgr(photo.gt) if photo.gt else None
    except WxrError as error:
        scored.fail(photo.name, one_line(error))
        return values
    for name, metric in todo.metrics.items():
        try:
            _check_size(image, gt if metric.needs_gt else None)
            values |= measure(image, gt, {name: metric.block})
        except _SizeError as error:
            scored.fail(photo.name, f"{name}: {error}")
        except WxrError:
            raise
        except Exception as error:  # a metric may raise anything; the other photos are measured
            scored.fail(photo.name, f"{name}: {one_line(error)}")
    return values


class _SizeError(Exception):
    pass


def _check_size(image: np.ndarray, gt: np.ndarray | None) -> None:
    if gt is not None and image.shape != gt.shape:
        size, gt_size = (f"{array.shape[1]}x{array.shape[0]}" for array in (image, gt))
        raise _SizeError(f"the restored photo has {size} pixels, its ground truth {gt_size}")


def _record(todo: Todo, name: str, value: float, versions: str) -> None:
    scored, metric, photo = todo.scored, todo.metrics[name], todo.photo.name
    if value != value:  # NaN: the metric refuses the image, and has printed the reason
        scored.fail(photo, f"{name}: gives no score for this image")
        return
    of = measured_of(scored, photo, metric)
    entry = Score(photo, name, block_digest(metric), of, repr(value), versions=versions)
    scored.cells.add(entry)


def _record_set(
    scored: Scored,
    name: str,
    metric: Metric,
    shares: list[Any],
    versions: str,
) -> None:
    value = type(shares[0]).over(shares)
    if value != value:
        scored.fail("", f"{name}: needs two photos at least")
        return
    of = set_digest(scored, metric)
    entry = Score("", name, block_digest(metric), of, repr(value), len(shares), versions)
    scored.cells.add(entry)


def _bgr(file: Path) -> np.ndarray:
    """Read an image as uint8 BGR (H, W, 3), the order of channels that metrics take."""
    return np.ascontiguousarray(read_image(file)[..., ::-1])
