"""Shards of a benchmark: each restores its photos in a folder of its own, and the whole takes over.

The folder is FOLDER/shards/I-of-N. Metrics of whole sets, tables and the report belong to the run
without a shard, which restores and measures whatever the shards lack.
"""

from pathlib import Path
from typing import Protocol

import msgspec

from wxr_plugin.benchmark.cells import Cells
from wxr_plugin.benchmark.checking import Plan
from wxr_plugin.benchmark.methods import Method
from wxr_plugin.benchmark.options import PACKAGED
from wxr_plugin.benchmark.restoring import image_file, stale_reason
from wxr_plugin.benchmark.sets import BenchmarkSet, Photo, write_packaged
from wxr_plugin.data.images.io import image_size
from wxr_plugin.data.sharding import Shard, shard_keys
from wxr_plugin.utils import files

FOLDER = "shards"


class Whole(Protocol):
    """The members of `run.Run` that taking over needs."""

    folder: Path
    plan: Plan

    def sets(self, method: Method) -> list[BenchmarkSet]:
        """Return the sets that `method` restores."""

    def cells(self, method: Method, test_set: BenchmarkSet) -> Cells:
        """Return the journal of a method on a set."""

    def costs(self, method: Method) -> Cells:
        """Return the journal of the cost of a method."""

    def todo(self, method: Method, test_set: BenchmarkSet) -> list[tuple[Photo, str]]:
        """Return the photos to restore, each with the reason."""

    def content(self, file: Path | None) -> str:
        """Return the hash of a file."""


def plan_of_shard(plan: Plan, shard: Shard) -> Plan:
    """Return the plan of a shard: its photos, the metrics of single photos, its own folder."""
    options = plan.options
    folder = options.folder / FOLDER / f"{shard.number}-of-{shard.count}"
    sets = {}
    for name, test_set in plan.sets.items():
        photos = _photos(test_set, shard)
        # A small set may have no photo in this shard.
        if photos:
            sets[name] = test_set._replace(photos=photos)
    metrics = {name: metric for name, metric in plan.metrics.items() if metric.of == "image"}
    # Overlaps are looked for in whole sets.
    options = msgspec.structs.replace(options, output=str(folder), overlaps=None)
    return plan._replace(options=options, sets=sets, metrics=metrics)


def write_shared(plan: Plan) -> None:
    """Write the packaged photos into the folder of the whole, where a shard reads them."""
    if any(block.set == PACKAGED for block in plan.options.sets.values()):
        write_packaged(plan.options.folder)


def adopt(job: Whole) -> None:
    """Copy the up-to-date results of the shards that `job` lacks into its folder and journals."""
    for folder in sorted((job.folder / FOLDER).glob("*-of-*")):
        for method in job.plan.methods.values():
            if method.spec is None:  # nothing is restored
                continue
            for test_set in job.sets(method):
                _adopt_cells(job, folder, method, test_set)
            cost = Cells(_journal(folder, method.name)).cost
            if cost and job.costs(method).cost is None:
                job.costs(method).add(cost)


def _photos(test_set: BenchmarkSet, shard: Shard) -> list[Photo]:
    photos = {f"{test_set.name}/{photo.name}": photo for photo in test_set.photos}

    def pixels(key: str) -> int | None:
        size = image_size(photos[key].lq)
        return size[0] * size[1] if size else None

    keys = shard_keys(photos, shard, pixels)
    return [photo for key, photo in photos.items() if key in keys]


def _adopt_cells(job: Whole, folder: Path, method: Method, test_set: BenchmarkSet) -> None:
    theirs = Cells(_journal(folder, f"{method.name}/{test_set.name}"))
    cells = job.cells(method, test_set)
    for photo, _ in job.todo(method, test_set):
        entry = theirs.restored.get(photo.name)
        file = image_file(folder, method.name, test_set.name, photo.name)
        content = job.content(photo.lq)
        if entry is None or stale_reason(method, entry, content, file):
            continue
        target = image_file(job.folder, method.name, test_set.name, photo.name)
        # The image first: an entry without its image would be stale.
        files.write_bytes(target, file.read_bytes())
        cells.add(entry)
        for (name, _), score in theirs.scores.items():
            if name == photo.name:
                cells.add(score)


def _journal(folder: Path, name: str) -> Path:
    return folder / "cells" / f"{name}.jsonl"
