"""A benchmark: what is there, what is missing, and making that."""

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from wxr_plugin.benchmark import overlaps, scoring, writing
from wxr_plugin.benchmark.cells import Cells
from wxr_plugin.benchmark.checking import Plan
from wxr_plugin.benchmark.hashes import Hashes
from wxr_plugin.benchmark.methods import Method
from wxr_plugin.benchmark.options import PACKAGED
from wxr_plugin.benchmark.restoring import (
    Job,
    Restoring,
    UnwritableError,
    device_name,
    image_file,
    note_elsewhere,
    why,
)
from wxr_plugin.benchmark.scoring import Scored
from wxr_plugin.benchmark.sets import BenchmarkSet, Photo, write_packaged
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.devices import device_of
from wxr_plugin.utils.progress import counting_bar


class Run:
    """One benchmark in its folder.

    `say` is given a line at a time; `failures` are what could not be made.
    """

    def __init__(self, plan: Plan, say: Callable[[str], None]):
        self.plan, self.say = plan, say
        self.folder = plan.options.folder.resolve()
        self.hashes = Hashes(self.folder / "hashes.jsonl")
        self.versions = writing.versions()
        self.failures: list[str] = []
        self.errors: dict[tuple[str, str, str], str] = {}
        self.found: list[overlaps.Overlap] = []
        self._cells: dict[str, Cells] = {}
        self._scored: dict[tuple[str, str], Scored] = {}

    @cached_property
    def device_name(self) -> str:
        """What results call the device."""
        return device_name(device_of(self.plan.options.device))

    def make(self) -> None:
        """Restore and measure what is missing, and write the tables.

        Raises WxrError where the folder is in use.
        """
        with self._alone():
            self._look()
            self._find_overlaps()
            for method in self.plan.methods.values():
                self._restore(method)
            self._gather()
            writing.write(self)
            for metrics in scoring.passes(self.plan.metrics):
                self._score(metrics)
            self.hashes.save()
            writing.write(self)

    def states(self) -> Iterator[str]:
        """A line for each method and set: how much is there, and why the rest is to be made."""
        for method in self.plan.methods.values():
            for which in self.sets(method):
                reasons = Counter(reason for _, reason in self._todo(method, which))
                done = len(which.photos) - reasons.total()
                told = "; ".join(f"{number}: {reason}" for reason, number in reasons.items())
                yield f"{method.name:<16} {which.name:<20} {done}/{len(which.photos)}  {told}".rstrip()

    def sets(self, method: Method) -> list[BenchmarkSet]:
        """The sets that a method restores."""
        return [which for which in self.plan.sets.values() if method.takes(which)]

    def cells(self, method: Method, which: BenchmarkSet) -> Cells:
        """The journal of a method on a set."""
        return self._journal(f"{method.name}/{which.name}")

    def costs(self, method: Method) -> Cells:
        """The journal with what a method takes."""
        return self._journal(method.name)

    def scored(self, method: Method, which: BenchmarkSet) -> Scored:
        """The restored photos of a method and set, once all are restored."""
        return self._scored[method.name, which.name]

    def is_current(self, photo: str, metric: str, where: Scored) -> bool:
        """Whether the journal has this score of the photo as it is now, or with "" of the set."""
        kept, asked = where.cells.scores.get((photo, metric)), self.plan.metrics[metric]
        if kept is None or kept.block != scoring.block_digest(asked):
            return False
        return kept.of == (
            scoring.measured_of(where, photo, asked) if photo else scoring.set_digest(where, asked)
        )

    def earlier_versions(self) -> dict[str, dict[str, str]]:
        """Versions that rows of earlier calls name, by digest."""
        file = self.folder / "benchmark.json"
        with contextlib.suppress(OSError, ValueError):
            return json.loads(file.read_text(encoding="utf-8")).get("versions_by_digest", {})
        return {}

    def notes(self) -> list[str]:
        """What a reader of the figures has to know."""
        sets = list(self.plan.sets.values())
        told = [
            f"{each.title}: {each.known.note}" for each in sets if each.known and each.known.note
        ]
        for each in sets:
            if each.known and each.whole != each.known.count:
                told.append(
                    f"{each.title}: {each.whole} photos, while {each.known.count} are published"
                )
            if len(each.photos) != each.whole:
                told.append(
                    f"{each.title}: {len(each.photos)} of {each.whole} photos, spread evenly"
                )
        return [*told, *overlaps.tell(self.found, sets)]

    def _journal(self, name: str) -> Cells:
        if name not in self._cells:
            self._cells[name] = Cells(self.folder / "cells" / f"{name}.jsonl")
        return self._cells[name]

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
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

    def _look(self) -> None:
        """Hash every photo and its ground truth, which tells whether kept results are of them."""
        if any(block.set == PACKAGED for block in self.plan.options.sets.values()):
            write_packaged(self.plan.options.folder)
        photos = [photo for each in self.plan.sets.values() for photo in each.photos]
        files = {file for photo in photos for file in (photo.lq, photo.gt) if file}
        with counting_bar("reading the photos", len(files)) as advance:
            for file in files:
                with contextlib.suppress(OSError):  # told when it is restored
                    self.hashes.content(file)
                advance(1, "")
        self.hashes.save()

    def _find_overlaps(self) -> None:
        options, sets = self.plan.options.overlaps, list(self.plan.sets.values())
        if options is None:
            (self.folder / overlaps.FILE).unlink(
                missing_ok=True
            )  # of another option file: it says nothing of this one
            return
        with counting_bar("looking for training images", overlaps.count(options, sets)) as advance:
            self.found = overlaps.find(options, sets, self.hashes, advance)
        self.hashes.save()
        overlaps.write(self.folder, self.found)

    def _todo(self, method: Method, which: BenchmarkSet) -> list[tuple[Photo, str]]:
        """Photos to restore, and why."""
        cells = self.cells(method, which)
        if method.spec is None:
            return []
        found = []
        for photo in which.photos:
            file = image_file(self.folder, method.name, which.name, photo.name)
            reason = why(method, cells.restored.get(photo.name), self._hash(photo.lq), file)
            found += [(photo, reason)] if reason else []
        return found

    def _hash(self, file: Path | None) -> str:
        with contextlib.suppress(OSError):
            return self.hashes.content(file) if file else ""
        return ""

    def _restore(self, method: Method) -> None:
        jobs = [self._job(method, which) for which in self.sets(method)]
        if method.spec is None:
            for job in jobs:
                note_elsewhere(
                    job, method.restored_elsewhere(job.which, len(self.plan.sets) == 1), self.hashes
                )
            return
        if not (total := sum(len(job.todo) for job in jobs)):
            return
        work = Restoring(
            method, self.folder, self.plan.options.device, writing.digest(self.versions)
        )
        try:
            with counting_bar(f"restoring: {method.name}", total) as advance:
                work.run(jobs, self.costs(method), advance)
        except UnwritableError:
            raise
        except (WxrError, torch.OutOfMemoryError) as error:  # the other methods go on
            self.failures.append(f"{method.name}: {' '.join(str(error).split())}")
            for job in jobs:
                for photo in job.todo:
                    self.errors.setdefault(
                        (method.name, job.which.name, photo.name), "the method cannot be run"
                    )

    def _job(self, method: Method, which: BenchmarkSet) -> Job:
        todo = self._todo(method, which)
        again = Counter(reason for _, reason in todo if reason != "not restored before")
        for reason, number in again.items():
            self.say(
                f"{method.name}, {which.name}: {number} photos restored again, because {reason}"
            )
        return Job(
            which,
            self.cells(method, which),
            [photo for photo, _ in todo],
            partial(self._fail, method, which),
        )

    def _fail(self, method: Method, which: BenchmarkSet, photo: str, reason: str) -> None:
        self.failures.append(f"{method.name}, {which.name}{', ' if photo else ''}{photo}: {reason}")
        key = (method.name, which.name, photo)
        self.errors[key] = "; ".join(filter(None, [self.errors.get(key), reason]))

    def _gather(self) -> None:
        """Which restored photos are there to be measured."""
        for method in self.plan.methods.values():
            for which in self.sets(method):
                cells, images = self.cells(method, which), {}
                outdated = {photo.name for photo, _ in self._todo(method, which)}
                elsewhere = self._elsewhere(method, which)
                for photo in (photo for photo in which.photos if photo.name in cells.restored):
                    file = elsewhere.get(photo.name) or image_file(
                        self.folder, method.name, which.name, photo.name
                    )
                    if photo.name not in outdated and file.is_file():
                        images[photo.name] = file
                gt = {photo.name: self._hash(photo.gt) for photo in which.photos if photo.gt}
                found = Scored(which, cells, images, gt, partial(self._fail, method, which))
                self._scored[method.name, which.name] = found

    def _elsewhere(self, method: Method, which: BenchmarkSet) -> dict[str, Path]:
        return {} if method.spec else method.restored_elsewhere(which, len(self.plan.sets) == 1)

    def _score(self, metrics: dict) -> None:
        todo = scoring.missing(list(self._scored.values()), metrics)
        if not todo:
            return
        try:
            with counting_bar(f"measuring: {', '.join(metrics)}", len(todo)) as advance:
                scoring.score(todo, writing.digest(self.versions), advance)
        except (WxrError, torch.OutOfMemoryError) as error:  # the other metrics go on
            self.failures.append(f"{', '.join(metrics)}: {' '.join(str(error).split())}")
        writing.write(self)
