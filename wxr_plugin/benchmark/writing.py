"""Writers of the results of a benchmark: benchmark.json, rows.csv and sets.csv."""

import json
import sys
from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import msgspec

from wxr_plugin.benchmark.cells import Cells, Restored
from wxr_plugin.benchmark.checking import Plan
from wxr_plugin.benchmark.methods import Method
from wxr_plugin.benchmark.metrics import Metric
from wxr_plugin.benchmark.options import SetOptions
from wxr_plugin.benchmark.results_files import IMAGE_COLUMNS, PROTOCOL
from wxr_plugin.benchmark.scoring import Scored
from wxr_plugin.benchmark.sets import BenchmarkSet, Photo
from wxr_plugin.utils.csv_text import dicts_to_csv
from wxr_plugin.utils.files import write_text

PACKAGES = (
    "wxr_plugin",
    "torch",
    "torchvision",
    "basicsr",
    "pyiqa",
    "transformers",
    "open_clip_torch",
    "spandrel",
    "numpy",
    "opencv-python",
    "pillow",
)
"""Packages that figures may depend on."""
Row = dict[str, Any]


class Progress(Protocol):
    """A benchmark as it is written, complete or not: a `run.Run`."""

    plan: Plan
    folder: Path
    versions: dict[str, str]
    device_name: str
    errors: dict[tuple[str, str, str], str]
    """(method, set, photo) -> why there is no restoration or no score."""

    def sets(self, method: Method) -> list[BenchmarkSet]:
        """Return the sets that `method` restores."""

    def cells(self, method: Method, test_set: BenchmarkSet) -> Cells:
        """Return the journal of a method on a set."""

    def costs(self, method: Method) -> Cells:
        """Return the journal of the cost of `method`."""

    def scored(self, method: Method, test_set: BenchmarkSet) -> Scored:
        """Return the restored photos of a method on a set, with their scores."""

    def is_current(self, photo: str, metric: str, scored: Scored) -> bool:
        """Return whether a score belongs to the present image and metric."""

    def earlier_versions(self) -> dict[str, dict[str, str]]:
        """Return the versions of packages of earlier runs, keyed by digest."""

    def notes(self) -> list[str]:
        """Return notes for a reader of the figures."""


def versions() -> dict[str, str]:
    """Return the versions of Python and of those PACKAGES that are installed."""
    installed = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def digest(versions: Mapping[str, str]) -> str:
    """Return 12 hex digits that stand for `versions` in rows."""
    text = json.dumps(versions, sort_keys=True)
    return sha256(text.encode()).hexdigest()[:12]


def rows(run: Progress) -> Iterable[Row]:
    """Yield a row for each method, set and photo, in the order of the option file."""
    for method in run.plan.methods.values():
        for test_set in run.sets(method):
            scored = run.scored(method, test_set)
            for photo in test_set.photos:
                yield _row(run, method, scored, photo)


def _row(run: Progress, method: Method, scored: Scored, photo: Photo) -> Row:
    row = {
        "method": method.name,
        "set": scored.test_set.name,
        "image": photo.name,
        "lq": str(photo.lq.absolute()),
        "gt": str(photo.gt.absolute()) if photo.gt else "",
        "error": run.errors.get((method.name, scored.test_set.name, photo.name), ""),
    }
    if photo.name in scored.images:
        entry = scored.cells.restored[photo.name]
        row |= _restored(run, method, entry, scored.images[photo.name])
        row |= _scores(run, scored, photo.name, entry)
    return row


def write(run: Progress) -> None:
    """Replace the three files by the results so far."""
    image_columns = [*IMAGE_COLUMNS, *_metrics_of(run, "image"), *PROTOCOL]
    _write_csv(run.folder / "rows.csv", image_columns, rows(run))
    set_columns = ("method", "set", "metric", "value", "count")
    _write_csv(run.folder / "sets.csv", set_columns, set_rows(run))
    text = json.dumps(summary(run), indent=1)
    write_text(run.folder / "benchmark.json", text + "\n")


def set_rows(run: Progress) -> Iterable[Row]:
    """Yield a row for each figure of a whole set."""
    for method in run.plan.methods.values():
        for test_set in run.sets(method):
            scored = run.scored(method, test_set)
            for name in _metrics_of(run, "set"):
                if run.is_current("", name, scored):
                    entry = scored.cells.scores["", name]
                    yield {
                        "method": method.name,
                        "set": test_set.name,
                        "metric": name,
                        "value": entry.value,
                        "count": entry.count,
                    }


def _metrics_of(run: Progress, subject: str) -> list[str]:
    metrics = run.plan.metrics
    return [name for name, metric in metrics.items() if metric.of == subject]


def summary(run: Progress) -> dict[str, Any]:
    """Return the content of benchmark.json."""
    options = run.plan.options
    sets = run.plan.sets.values()
    # Rows of earlier runs keep their digest, so its versions stay in the file.
    versions_by_digest = dict(run.earlier_versions())
    versions_by_digest[digest(run.versions)] = run.versions
    return {
        "name": options.name,
        "options": msgspec.to_builtins(options),
        "versions": run.versions,
        "versions_by_digest": versions_by_digest,
        "device": run.device_name,
        "methods": {method.name: _method(run, method) for method in run.plan.methods.values()},
        "sets": {test_set.name: _set(options.sets[test_set.name], test_set) for test_set in sets},
        "metrics": {name: _metric(metric) for name, metric in run.plan.metrics.items()},
        "notes": run.notes(),
    }


def _method(run: Progress, method: Method) -> dict[str, Any]:
    cost = run.costs(method).cost
    # The cost of another checkpoint or other tiles does not count.
    if cost and cost.protocol != method.protocol:
        cost = None
    settings = method.settings if method.spec else None
    return {
        "title": method.title,
        "zoo": method.options.method,
        "checkpoint": str(method.spec.checkpoint) if method.spec else None,
        "sha256": method.sha256 or None,
        "parameters": cost and cost.parameters,
        "macs_per_megapixel": cost and cost.macs_per_megapixel,
        "precision": settings and settings["precision"],
        "tile": settings and (settings["tile"] or 0),
        "overlap": settings and settings["overlap"],
        "network": method.network or None,
    }


def _set(options: SetOptions, test_set: BenchmarkSet) -> dict[str, Any]:
    lq = options.lq or options.root or options.set
    return {
        "title": test_set.title,
        "task": test_set.task,
        "lq": lq,
        "gt": options.gt or (lq if test_set.has_gt else None),
        "count": len(test_set.photos),
        "of": test_set.whole,
    }


def _metric(metric: Metric) -> dict[str, Any]:
    keys = ("title", "better", "needs_gt", "digits", "of", "block")
    return {key: getattr(metric, key) for key in keys}


def _restored(run: Progress, method: Method, entry: Restored, file: Path) -> Row:
    # Relative paths keep their meaning when the folder is moved.
    place = str(file.absolute())
    if file.is_relative_to(run.folder):
        place = file.relative_to(run.folder).as_posix()
    row = {
        "restored": place,
        "width": entry.width,
        "height": entry.height,
        "seconds": "" if entry.seconds is None else f"{entry.seconds:.6f}",
        "peak_mib": "" if entry.peak_mib is None else f"{entry.peak_mib:.1f}",
        "checkpoint_sha256": method.sha256,
        "colour": "RGB",
        "crop": run.plan.options.crop_border,
        "versions": entry.versions,
        "device": entry.device,
    }
    if method.spec:
        row |= method.settings
        # No tiles are stated as 0, as in the option file.
        row["tile"] = method.settings["tile"] or 0
    return row


def _scores(run: Progress, scored: Scored, photo: str, entry: Restored) -> Row:
    """Return the scores that are up to date, and the versions of restoring and of measuring."""
    row = {}
    versions = [entry.versions]
    for name in _metrics_of(run, "image"):
        if run.is_current(photo, name, scored):
            score = scored.cells.scores[photo, name]
            row[name] = score.value
            versions.append(score.versions)
    row["versions"] = "+".join(dict.fromkeys(filter(None, versions)))
    return row


def _write_csv(path: Path, columns: Iterable[str], content: Iterable[Row]) -> None:
    write_text(path, dicts_to_csv(columns, content))
