"""The second half of a benchmark: every metric of every restored photo, each once."""

import hashlib
import json
from collections.abc import Callable, Iterator
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


class Scored(NamedTuple):
    """The restored photos of one method and set: `images` are their files and `gt` hashes of their ground truth."""

    which: BenchmarkSet
    cells: Cells
    images: dict[str, Path]
    gt: dict[str, str]
    fail: Fail


class Todo(NamedTuple):
    """Metrics that one photo lacks."""

    where: Scored
    photo: Photo
    metrics: dict[str, Metric]


def passes(metrics: dict[str, Metric]) -> Iterator[dict[str, Metric]]:
    """Metrics that are measured together: those without a network, then each other by itself, for its memory."""
    native = {name: metric for name, metric in metrics.items() if metric.block["type"] in NATIVE}
    if native:
        yield native
    yield from ({name: metric} for name, metric in metrics.items() if name not in native)


def missing(scored: list[Scored], metrics: dict[str, Metric]) -> list[Todo]:
    """What is to be measured, photo by photo. Of a metric of sets, all photos of a set or none."""
    found = []
    for where in scored:
        lacked = {
            name: each
            for name, each in metrics.items()
            if each.of == "set" and _lacks_set(where, name, each)
        }
        of_images = {name: metric for name, metric in metrics.items() if metric.of == "image"}
        for photo in (photo for photo in where.which.photos if photo.name in where.images):
            lacking = {
                name: metric
                for name, metric in of_images.items()
                if _lacks(where, photo.name, name, metric)
            }
            lacking |= lacked
            lacking = {
                name: metric for name, metric in lacking.items() if photo.gt or not metric.needs_gt
            }
            if lacking:
                found.append(Todo(where, photo, lacking))
    return found


def score(todo: list[Todo], versions: str, advance: Callable[[int, object], None]) -> None:
    """Measure; each score is written down as soon as it is there.

    What goes wrong with one photo is told to its cells. Raises WxrError where a metric cannot be
    measured at all, say because its weights are missing.
    """
    shares: dict[tuple[int, str], list[tuple[Todo, Any]]] = {}
    try:
        for each in todo:
            for name, value in _measured(each).items():
                if each.metrics[name].of == "set":
                    shares.setdefault((id(each.where), name), []).append((each, value))
                else:
                    _note(each, name, value, versions)
            advance(1, "")
        for (_, name), found in shares.items():
            _note_set(found[0][0].where, name, found, versions)
    finally:
        metric_networks.forget()


def block_digest(metric: Metric) -> str:
    """12 hex digits of what a metric is asked; where it is computed does not count."""
    block = {key: value for key, value in metric.block.items() if key != "device"}
    if weights := block.get("weights"):
        block["weights"] = [
            Path(weights).name,
            Path(weights).stat().st_size if Path(weights).is_file() else 0,
        ]
    return hashlib.sha256(json.dumps(block, sort_keys=True, default=str).encode()).hexdigest()[:12]


def measured_of(where: Scored, name: str, metric: Metric) -> str:
    """Hash of a restored photo, and of its ground truth for a metric that compares."""
    return where.cells.restored[name].content + (
        f":{where.gt.get(name, '')}" if metric.needs_gt else ""
    )


def set_digest(where: Scored, metric: Metric) -> str:
    """Hash of all that a metric of the whole set is measured on."""
    all_of = [
        measured_of(where, photo.name, metric)
        for photo in where.which.photos
        if photo.name in where.images
    ]
    return hashlib.sha256("\n".join(all_of).encode()).hexdigest()[:16]


def _lacks(where: Scored, photo: str, name: str, metric: Metric) -> bool:
    kept = where.cells.scores.get((photo, name))
    if metric.needs_gt and photo not in where.gt:
        return False
    return kept is None or (kept.block, kept.of) != (
        block_digest(metric),
        measured_of(where, photo, metric),
    )


def _lacks_set(where: Scored, name: str, metric: Metric) -> bool:
    kept = where.cells.scores.get(("", name))
    return kept is None or (kept.block, kept.of) != (
        block_digest(metric),
        set_digest(where, metric),
    )


def _measured(todo: Todo) -> dict[str, Any]:
    """Values by metric; one that cannot be had is told and left out."""
    from wxr_plugin.models.base.val_metrics import measure

    found: dict[str, Any] = {}
    where, photo = todo.where, todo.photo
    try:
        image = _bgr(where.images[photo.name])
        gt = _bgr(photo.gt) if photo.gt else None
    except WxrError as error:
        where.fail(photo.name, one_line(error))
        return found
    for name, metric in todo.metrics.items():
        try:
            _check_size(image, gt if metric.needs_gt else None)
            found |= measure(image, gt, {name: metric.block})
        except _SizeError as error:
            where.fail(photo.name, f"{name}: {error}")
        except WxrError:
            raise
        except Exception as error:  # a metric may raise anything; the other photos go on
            where.fail(photo.name, f"{name}: {one_line(error)}")
    return found


class _SizeError(Exception):
    pass


def _check_size(image: np.ndarray, gt: np.ndarray | None) -> None:
    if gt is not None and image.shape != gt.shape:
        sizes = [f"{each.shape[1]}x{each.shape[0]}" for each in (image, gt)]
        raise _SizeError(f"the restored photo has {sizes[0]} pixels, its ground truth {sizes[1]}")


def _note(todo: Todo, name: str, value: float, versions: str) -> None:
    where, metric = todo.where, todo.metrics[name]
    if value != value:  # NaN: the metric refuses the image, and has said why
        where.fail(todo.photo.name, f"{name}: gives no score for this image")
        return
    of = measured_of(where, todo.photo.name, metric)
    where.cells.add(
        Score(todo.photo.name, name, block_digest(metric), of, repr(value), versions=versions)
    )


def _note_set(where: Scored, name: str, found: list[tuple[Todo, Any]], versions: str) -> None:
    shares = [share for _, share in found]
    value, metric = type(shares[0]).over(shares), found[0][0].metrics[name]
    if value != value:
        where.fail("", f"{name}: needs two photos at least")
        return
    of = set_digest(where, metric)
    where.cells.add(Score("", name, block_digest(metric), of, repr(value), len(shares), versions))


def _bgr(file: Path) -> np.ndarray:
    return np.ascontiguousarray(read_image(file)[..., ::-1])
