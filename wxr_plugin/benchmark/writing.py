"""What a benchmark leaves for its reader: benchmark.json, rows.csv and sets.csv."""

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
from wxr_plugin.benchmark.scoring import Scored
from wxr_plugin.benchmark.sets import BenchmarkSet
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
"""Packages on which a figure may depend."""
IMAGE = (
    "method",
    "set",
    "image",
    "lq",
    "gt",
    "restored",
    "width",
    "height",
    "seconds",
    "peak_mib",
    "error",
)
PROTOCOL = (
    "checkpoint_sha256",
    "colour",
    "crop",
    "precision",
    "tile",
    "overlap",
    "versions",
    "device",
)
Row = dict[str, Any]


class Progress(Protocol):
    """What is written of a benchmark, done or under way: a `run.Run`."""

    plan: Plan
    folder: Path
    versions: dict[str, str]
    device_name: str
    errors: dict[tuple[str, str, str], str]
    """(method, set, photo) -> why there is no restoration, or no score."""

    def sets(self, method: Method) -> list[BenchmarkSet]:
        """Return the sets that `method` restores."""

    def cells(self, method: Method, which: BenchmarkSet) -> Cells:
        """Return the journal of one method on one set."""

    def costs(self, method: Method) -> Cells:
        """Return the journal of what `method` costs."""

    def scored(self, method: Method, which: BenchmarkSet) -> Scored:
        """Return the scores of one method on one set, with its images."""

    def is_current(self, photo: str, metric: str, where: Scored) -> bool:
        """Return whether a score is that of the present image and metric."""

    def earlier_versions(self) -> dict[str, dict[str, str]]:
        """Return digest -> versions of packages, of earlier calls."""

    def notes(self) -> list[str]:
        """Return what a reader of the figures should know."""


def versions() -> dict[str, str]:
    """Versions of python and PACKAGES, those that are installed."""
    found = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def digest(of: Mapping[str, str]) -> str:
    """12 hex digits that stand for versions in rows."""
    return sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:12]


def rows(run: Progress) -> Iterable[Row]:
    """A row for each method, set and photo, in the order of the option file."""
    for method in run.plan.methods.values():
        for which in run.sets(method):
            scored = run.scored(method, which)
            for photo in which.photos:
                row = {
                    "method": method.name,
                    "set": which.name,
                    "image": photo.name,
                    "lq": str(photo.lq.absolute()),
                }
                row["gt"] = str(photo.gt.absolute()) if photo.gt else ""
                row["error"] = run.errors.get((method.name, which.name, photo.name), "")
                if photo.name in scored.images:
                    row |= _restored(
                        run, method, scored.cells.restored[photo.name], scored.images[photo.name]
                    )
                    row |= _scores(run, scored.cells, photo.name, row)
                yield row


def write(run: Progress) -> None:
    """Replace the three files by what is known now."""
    columns = [
        *IMAGE,
        *(name for name, metric in run.plan.metrics.items() if metric.of == "image"),
        *PROTOCOL,
    ]
    _write_csv(run.folder / "rows.csv", columns, rows(run))
    _write_csv(
        run.folder / "sets.csv", ("method", "set", "metric", "value", "count"), set_rows(run)
    )
    write_text(run.folder / "benchmark.json", json.dumps(summary(run), indent=1) + "\n")


def set_rows(run: Progress) -> Iterable[Row]:
    """A row for each figure of a whole set."""
    for method in run.plan.methods.values():
        for which in run.sets(method):
            cells = run.cells(method, which)
            for name in (name for name, metric in run.plan.metrics.items() if metric.of == "set"):
                if run.is_current("", name, run.scored(method, which)):
                    kept = cells.scores["", name]
                    value = {"metric": name, "value": kept.value, "count": kept.count}
                    yield {"method": method.name, "set": which.name, **value}


def summary(run: Progress) -> dict[str, Any]:
    """What benchmark.json says."""
    options = run.plan.options
    return {
        "name": options.name,
        "options": msgspec.to_builtins(options),
        "versions": run.versions,
        "versions_by_digest": {**run.earlier_versions(), digest(run.versions): run.versions},
        "device": run.device_name,
        "methods": {method.name: _method(run, method) for method in run.plan.methods.values()},
        "sets": {
            which.name: _set(options.sets[which.name], which) for which in run.plan.sets.values()
        },
        "metrics": {name: _metric(metric) for name, metric in run.plan.metrics.items()},
        "notes": run.notes(),
    }


def _method(run: Progress, method: Method) -> dict[str, Any]:
    cost = run.costs(method).cost
    known = cost if cost and cost.protocol == method.protocol else None
    return {
        "title": method.title,
        "zoo": method.options.method,
        "checkpoint": str(method.spec.checkpoint) if method.spec else None,
        "sha256": method.sha256 or None,
        "parameters": known and known.parameters,
        "macs_per_megapixel": known and known.macs_per_megapixel,
        "precision": method.settings["precision"] if method.spec else None,
        "tile": method.settings["tile"] or 0 if method.spec else None,
        "overlap": method.settings["overlap"] if method.spec else None,
        "network": method.network or None,
    }


def _set(options: Any, which: BenchmarkSet) -> dict[str, Any]:
    folders = {"lq": options.lq or options.root or options.set, "gt": options.gt}
    folders["gt"] = folders["gt"] or (folders["lq"] if which.has_gt else None)
    return {
        "title": which.title,
        "task": which.task,
        **folders,
        "count": len(which.photos),
        "of": which.whole,
    }


def _metric(metric: Metric) -> dict[str, Any]:
    return {
        key: getattr(metric, key)
        for key in ("title", "better", "needs_gt", "digits", "of", "block")
    }


def _restored(run: Progress, method: Method, kept: Restored, file: Path) -> Row:
    relative = file.is_relative_to(run.folder)
    return {
        "restored": file.relative_to(run.folder).as_posix() if relative else str(file.absolute()),
        "width": kept.width,
        "height": kept.height,
        "seconds": "" if kept.seconds is None else f"{kept.seconds:.6f}",
        "peak_mib": "" if kept.peak_mib is None else f"{kept.peak_mib:.1f}",
        "checkpoint_sha256": method.sha256,
        "colour": "RGB",
        "crop": run.plan.options.crop_border,
        "precision": method.settings["precision"] if method.spec else "",
        "tile": method.settings["tile"] or 0 if method.spec else "",
        "overlap": method.settings["overlap"] if method.spec else "",
        "versions": kept.versions,
        "device": kept.device,
    }


def _scores(run: Progress, cells: Cells, photo: str, row: Row) -> Row:
    """Scores that are up to date, and the versions that they and the restoration were made with."""
    scored = run.scored(run.plan.methods[row["method"]], run.plan.sets[row["set"]])
    names = [name for name, each in run.plan.metrics.items() if each.of == "image"]
    found = {
        name: cells.scores[photo, name] for name in names if run.is_current(photo, name, scored)
    }
    told = dict.fromkeys(
        filter(None, [row["versions"], *(score.versions for score in found.values())])
    )
    return {**{name: score.value for name, score in found.items()}, "versions": "+".join(told)}


def _write_csv(path: Path, columns: Iterable[str], content: Iterable[Row]) -> None:
    write_text(path, dicts_to_csv(columns, content))
