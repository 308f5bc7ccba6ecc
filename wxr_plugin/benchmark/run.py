"""A benchmark run: finds the cells that are missing, and makes them."""

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import torch
from filelock import FileLock, Timeout

from wxr_plugin.benchmark import overlaps, scoring, shards, writing
from wxr_plugin.benchmark.cells import Cells
from wxr_plugin.benchmark.checking import Plan
from wxr_plugin.benchmark.hashes import Hashes
from wxr_plugin.benchmark.methods import Method
from wxr_plugin.benchmark.options import PACKAGED
from wxr_plugin.benchmark.restoring import (
    NEW,
    Job,
    Restoring,
    UnwritableError,
    device_name,
    image_file,
    record_existing,
    stale_reason,
)
from wxr_plugin.benchmark.scoring import Scored
from wxr_plugin.benchmark.sets import BenchmarkSet, Photo, write_packaged
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.devices import device_of
from wxr_plugin.utils.progress import counting_bar


class State(NamedTuple):
    """Photos of a set that a method has restored, and reasons why others are restored again."""

    method: str
    set: str
    done: int
    total: int
    reasons: dict[str, int]
    """Reason -> number of photos that are not done."""


class Run:
    """One benchmark in its folder.

    Args:
        plan: the checked option file.
        say: called with each line of output.

    Attributes:
        failures: a line for each photo, method or metric that failed.
        errors: (method, set, photo) -> reason.
        overlaps: test images that are training images.
    """

    def __init__(self, plan: Plan, say: Callable[[str], None]):
        self.plan = plan
        self.say = say
        self.folder = plan.options.folder.resolve()
        self.hashes = Hashes(self.folder / "hashes.jsonl")
        self.versions = writing.versions()
        self.failures: list[str] = []
        self.errors: dict[tuple[str, str, str], str] = {}
        self.overlaps: list[overlaps.Overlap] = []
        self._cells: dict[str, Cells] = {}
        self._scored: dict[tuple[str, str], Scored] = {}

    @cached_property
    def device_name(self) -> str:
        """The name of the device in results."""
        return device_name(device_of(self.plan.options.device))

    def make(self) -> None:
        """Restore and measure the missing cells, and write the tables.

        Raises:
            WxrError: another run works in the folder.
        """
        with self._locked():
            self._hash_photos()
            self._find_overlaps()
            shards.adopt(self)
            for method in self.plan.methods.values():
                self._restore(method)
            self._gather()
            # The tables are written after each step, so that a report can be made of a killed run.
            writing.write(self)
            for metrics in scoring.passes(self.plan.metrics):
                self._score(metrics)
            self.hashes.save()
            writing.write(self)

    def states(self) -> Iterator[State]:
        """Yield the state of each method on each of its sets; nothing is made."""
        for method in self.plan.methods.values():
            for test_set in self.sets(method):
                todo = self.todo(method, test_set)
                total = len(test_set.photos)
                reasons = Counter(reason for _, reason in todo)
                yield State(method.name, test_set.name, total - len(todo), total, dict(reasons))

    def sets(self, method: Method) -> list[BenchmarkSet]:
        """Return the sets that `method` restores."""
        sets = self.plan.sets.values()
        return [test_set for test_set in sets if method.takes(test_set)]

    def cells(self, method: Method, test_set: BenchmarkSet) -> Cells:
        """Return the journal of a method on a set."""
        return self._journal(f"{method.name}/{test_set.name}")

    def costs(self, method: Method) -> Cells:
        """Return the journal of the cost of a method."""
        return self._journal(method.name)

    def scored(self, method: Method, test_set: BenchmarkSet) -> Scored:
        """Return the restored photos of a method and set, once all photos are restored."""
        return self._scored[method.name, test_set.name]

    def is_current(self, photo: str, metric: str, scored: Scored) -> bool:
        """Return whether the journal has this score of the present image; photo "" is the set."""
        entry = scored.cells.scores.get((photo, metric))
        options = self.plan.metrics[metric]
        if entry is None or entry.block != scoring.block_digest(options):
            return False
        if photo:
            measured = scoring.measured_of(scored, photo, options)
        else:
            measured = scoring.set_digest(scored, options)
        return entry.of == measured

    def earlier_versions(self) -> dict[str, dict[str, str]]:
        """Return the versions of packages that rows of earlier runs have, keyed by digest."""
        file = self.folder / "benchmark.json"
        # In the first run there is no file yet, and a damaged one is written again.
        with contextlib.suppress(OSError, ValueError):
            facts = json.loads(file.read_text(encoding="utf-8"))
            return facts.get("versions_by_digest", {})
        return {}

    def notes(self) -> list[str]:
        """Return notes for a reader of the figures."""
        sets = list(self.plan.sets.values())
        notes = []
        for test_set in sets:
            known_set = test_set.known_set
            if known_set and known_set.note:
                notes.append(f"{test_set.title}: {known_set.note}")
        for test_set in sets:
            title = test_set.title
            whole = test_set.whole
            known_set = test_set.known_set
            if known_set and whole != known_set.count:
                notes.append(f"{title}: {whole} photos, while {known_set.count} are published")
            chosen = len(test_set.photos)
            if chosen != whole:
                notes.append(f"{title}: {chosen} of {whole} photos, spread evenly")
        notes += overlaps.describe(self.overlaps, sets)
        return notes

    def _journal(self, name: str) -> Cells:
        if name not in self._cells:
            file = self.folder / "cells" / f"{name}.jsonl"
            self._cells[name] = Cells(file)
        return self._cells[name]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise WxrError(
                f"{self.folder}: another `wxr benchmark` works in it; wait for it, or set output:"
            ) from None
        try:
            yield
        finally:
            for cells in self._cells.values():
                cells.close()
            lock.release()

    def _hash_photos(self) -> None:
        """Hash every photo and its ground truth, to see which results are out of date."""
        options = self.plan.options
        if any(block.set == PACKAGED for block in options.sets.values()):
            write_packaged(options.folder)
        files = set()
        for test_set in self.plan.sets.values():
            for photo in test_set.photos:
                files.add(photo.lq)
                if photo.gt:
                    files.add(photo.gt)
        with counting_bar("reading the photos", len(files)) as advance:
            for file in files:
                with contextlib.suppress(OSError):  # reported when the photo is restored
                    self.hashes.content(file)
                advance(1, "")
        self.hashes.save()

    def _find_overlaps(self) -> None:
        options = self.plan.options.overlaps
        if options is None:
            # A table of an earlier option file does not hold for this one.
            (self.folder / overlaps.FILE).unlink(missing_ok=True)
            return
        sets = list(self.plan.sets.values())
        total = overlaps.count(options, sets)
        with counting_bar("looking for training images", total) as advance:
            self.overlaps = overlaps.find(options, sets, self.hashes, advance)
        self.hashes.save()
        overlaps.write(self.folder, self.overlaps)

    def todo(self, method: Method, test_set: BenchmarkSet) -> list[tuple[Photo, str]]:
        """Return the photos to restore, each with the reason."""
        if method.spec is None:
            return []
        cells = self.cells(method, test_set)
        todo = []
        for photo in test_set.photos:
            file = image_file(self.folder, method.name, test_set.name, photo.name)
            entry = cells.restored.get(photo.name)
            content = self.content(photo.lq)
            reason = stale_reason(method, entry, content, file)
            if reason:
                todo.append((photo, reason))
        return todo

    def content(self, file: Path | None) -> str:
        """Return the hash of a file; empty without one, or if it cannot be read."""
        if file is None:
            return ""
        # An unreadable file is reported when the photo is restored or measured.
        with contextlib.suppress(OSError):
            return self.hashes.content(file)
        return ""

    def _restore(self, method: Method) -> None:
        jobs = [self._job(method, test_set) for test_set in self.sets(method)]
        if method.spec is None:
            for job in jobs:
                files = self._existing(method, job.test_set)
                record_existing(job, files, self.hashes)
            return
        total = sum(len(job.todo) for job in jobs)
        if not total:
            return
        versions = writing.digest(self.versions)
        work = Restoring(method, self.folder, self.plan.options.device, versions)
        try:
            with counting_bar(f"restoring: {method.name}", total) as advance:
                work.run(jobs, self.costs(method), advance)
        except UnwritableError:
            raise
        except (WxrError, torch.OutOfMemoryError) as error:  # the other methods are still run
            reason = _on_one_line(error)
            self.failures.append(f"{method.name}: {reason}")
            for job in jobs:
                for photo in job.todo:
                    key = (method.name, job.test_set.name, photo.name)
                    # A photo that failed before the method did keeps its own reason.
                    self.errors.setdefault(key, "the method cannot be run")

    def _job(self, method: Method, test_set: BenchmarkSet) -> Job:
        todo = self.todo(method, test_set)
        reasons = [reason for _, reason in todo if reason != NEW]
        for reason, number in Counter(reasons).items():
            cell = f"{method.name}, {test_set.name}"
            self.say(f"{cell}: {number} photos restored again, because {reason}")
        return Job(
            test_set=test_set,
            cells=self.cells(method, test_set),
            todo=[photo for photo, _ in todo],
            fail=partial(self._fail, method, test_set),
        )

    def _fail(self, method: Method, test_set: BenchmarkSet, photo: str, reason: str) -> None:
        place = f"{method.name}, {test_set.name}"
        # A metric of the whole set fails without a photo.
        if photo:
            place += f", {photo}"
        self.failures.append(f"{place}: {reason}")
        key = (method.name, test_set.name, photo)
        # A photo may fail several metrics.
        if key in self.errors:
            reason = f"{self.errors[key]}; {reason}"
        self.errors[key] = reason

    def _gather(self) -> None:
        """Find the restored photos that can be measured."""
        for method in self.plan.methods.values():
            for test_set in self.sets(method):
                with_gt = [photo for photo in test_set.photos if photo.gt]
                key = (method.name, test_set.name)
                self._scored[key] = Scored(
                    test_set=test_set,
                    cells=self.cells(method, test_set),
                    images=self._images(method, test_set),
                    gt={photo.name: self.content(photo.gt) for photo in with_gt},
                    fail=partial(self._fail, method, test_set),
                )

    def _images(self, method: Method, test_set: BenchmarkSet) -> dict[str, Path]:
        """Return the files of the restorations that are up to date, keyed by photo."""
        images = {}
        restored = self.cells(method, test_set).restored
        outdated = {photo.name for photo, _ in self.todo(method, test_set)}
        # Without a network, the images are those of a folder or the photos themselves.
        existing = {} if method.spec else self._existing(method, test_set)
        for photo in test_set.photos:
            name = photo.name
            if name not in restored or name in outdated:
                continue
            file = existing.get(name)
            if file is None:
                file = image_file(self.folder, method.name, test_set.name, name)
            if file.is_file():
                images[name] = file
        return images

    def _existing(self, method: Method, test_set: BenchmarkSet) -> dict[str, Path]:
        is_only_set = len(self.plan.sets) == 1
        return method.existing_images(test_set, only_set=is_only_set)

    def _score(self, metrics: dict) -> None:
        todo = scoring.missing(list(self._scored.values()), metrics)
        if not todo:
            return
        names = ", ".join(metrics)
        versions = writing.digest(self.versions)
        try:
            with counting_bar(f"measuring: {names}", len(todo)) as advance:
                scoring.score(todo, versions, advance)
        except (WxrError, torch.OutOfMemoryError) as error:  # the other metrics are still measured
            self.failures.append(f"{names}: {_on_one_line(error)}")
        writing.write(self)


def _on_one_line(error: Exception) -> str:
    words = str(error).split()
    return " ".join(words)
