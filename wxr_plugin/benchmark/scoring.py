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
        photos = self.test_set.photos
        return [photo for photo in photos if photo.name in self.images]


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
    native = {}
    alone = []
    for name, metric in metrics.items():
        if metric.block["type"] in NATIVE:
            native[name] = metric
        else:
            alone.append({name: metric})
    if native:
        yield native
    yield from alone


def missing(scored: list[Scored], metrics: dict[str, Metric]) -> list[Todo]:
    """Return the metrics that each photo lacks.

    Of a metric of whole sets, either all photos of a set have to be measured or none.
    """
    todo = []
    for cell in scored:
        of_set = {}
        for name, metric in metrics.items():
            if metric.of == "set" and _lacks_set(cell, name, metric):
                of_set[name] = metric
        for photo in cell.photos:
            lacking = {}
            for name, metric in metrics.items():
                if metric.of == "image" and _lacks(cell, photo.name, name, metric):
                    lacking[name] = metric
            lacking |= of_set
            # Even in a set with ground truth, single photos may have none.
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
                    key = (id(item.scored), name)
                    shares.setdefault(key, []).append((item, value))
                else:
                    _record(item, name, value, versions)
            advance(1, "")
        for (_, name), of_set in shares.items():
            first, _ = of_set[0]
            values = [share for _, share in of_set]
            _record_set(first.scored, name, first.metrics[name], values, versions)
    finally:
        # Frees the memory for the network of the next metric.
        metric_networks.forget()


def block_digest(metric: Metric) -> str:
    """Return 12 hex digits of the options of a metric; the device makes no difference."""
    block = dict(metric.block)
    block.pop("device", None)
    weights = block.get("weights")
    if weights:
        file = Path(weights)
        size = file.stat().st_size if file.is_file() else 0
        # Name and size stand for the content, so that files of gigabytes need not be read.
        block["weights"] = [file.name, size]
    text = json.dumps(block, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def measured_of(scored: Scored, name: str, metric: Metric) -> str:
    """Return the hash of a restored photo, with that of its ground truth if the metric needs it."""
    content = scored.cells.restored[name].content
    if not metric.needs_gt:
        return content
    gt = scored.gt.get(name, "")
    return f"{content}:{gt}"


def set_digest(scored: Scored, metric: Metric) -> str:
    """Return the hash of all images that a metric of the whole set is measured on."""
    contents = [measured_of(scored, photo.name, metric) for photo in scored.photos]
    text = "\n".join(contents)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _lacks(scored: Scored, photo: str, name: str, metric: Metric) -> bool:
    if metric.needs_gt and photo not in scored.gt:
        return False
    entry = scored.cells.scores.get((photo, name))
    # A score counts only for the options and for the image that it was measured with.
    return (
        entry is None
        or entry.block != block_digest(metric)
        or entry.of != measured_of(scored, photo, metric)
    )


def _lacks_set(scored: Scored, name: str, metric: Metric) -> bool:
    entry = scored.cells.scores.get(("", name))
    return (
        entry is None
        or entry.block != block_digest(metric)
        or entry.of != set_digest(scored, metric)
    )


def _measured(todo: Todo) -> dict[str, Any]:
    """Return values keyed by metric; a metric that fails is reported and left out."""
    from wxr_plugin.models.base.val_metrics import measure

    values: dict[str, Any] = {}
    scored = todo.scored
    photo = todo.photo
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
    if gt is None or image.shape == gt.shape:
        return
    height, width = image.shape[:2]
    gt_height, gt_width = gt.shape[:2]
    raise _SizeError(
        f"the restored photo has {width}x{height} pixels, its ground truth {gt_width}x{gt_height}"
    )


def _record(todo: Todo, name: str, value: float, versions: str) -> None:
    scored = todo.scored
    metric = todo.metrics[name]
    photo = todo.photo.name
    if value != value:  # NaN: the metric refuses the image, and has printed the reason
        scored.fail(photo, f"{name}: gives no score for this image")
        return
    entry = Score(
        image=photo,
        metric=name,
        block=block_digest(metric),
        of=measured_of(scored, photo, metric),
        value=repr(value),
        versions=versions,
    )
    scored.cells.add(entry)


def _record_set(
    scored: Scored,
    name: str,
    metric: Metric,
    shares: list[Any],
    versions: str,
) -> None:
    share_type = type(shares[0])
    value = share_type.over(shares)
    if value != value:  # NaN: the statistics of one photo are undefined
        scored.fail("", f"{name}: needs two photos at least")
        return
    entry = Score(
        image="",
        metric=name,
        block=block_digest(metric),
        of=set_digest(scored, metric),
        value=repr(value),
        count=len(shares),
        versions=versions,
    )
    scored.cells.add(entry)


def _bgr(file: Path) -> np.ndarray:
    """Read an image as uint8 BGR (H, W, 3), the order of channels that metrics take."""
    rgb = read_image(file)
    return np.ascontiguousarray(rgb[..., ::-1])
