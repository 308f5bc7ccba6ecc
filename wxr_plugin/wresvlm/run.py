"""Making the stages of a run, each unless it is done and its inputs are as they were."""

import fcntl
import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from wxr_plugin.errors import WxrError
from wxr_plugin.options.plugins import import_plugins
from wxr_plugin.wresvlm import records
from wxr_plugin.wresvlm.chain import Chain, Stage
from wxr_plugin.wresvlm.digests import FileDigests
from wxr_plugin.wresvlm.inputs import Found, Inputs
from wxr_plugin.wresvlm.records import Record
from wxr_plugin.wresvlm.report import pages
from wxr_plugin.wresvlm.settings import Settings

SHOWN = 3
"""Reasons that are told for making a stage again."""


class State(NamedTuple):
    """How a stage stands."""

    name: str
    word: str
    """done, under way, outdated, waits, or new."""
    why: str = ""
    """What changed, or what it waits for."""


class Run:
    """The stages of one run and their state.

    Attributes: `settings`; `stages`, in their order. `say` is given a line for each thing that
    happens.
    """

    def __init__(self, settings: Settings, say: Callable[[str], object] = print):
        import_plugins({"plugins": settings.options.plugins})
        self.settings, self.say = settings, say
        self.digests = FileDigests(settings.work / "digests.json")
        self.stages = Chain(settings, Inputs(settings, self.digests)).build()

    def make(self, until: str | None = None, redo: Sequence[str] = ()) -> None:
        """Make every stage up to `until` that is not done; those of `redo` again, done or not.

        A stage whose inputs changed is set aside, below old/, and made again, and so is what builds
        on it.

        Raises:
            WxrError: no such stage, another process is at work in the folder, or a stage fails.
        """
        last = self.index(until) if until else len(self.stages) - 1
        again = {self.stages[self.index(name)].name for name in redo}
        with only_here(self.settings.work):
            for stage in self.stages[: last + 1]:
                self.make_one(stage, stage.name in again)

    def make_one(self, stage: Stage, again: bool = False) -> None:
        """Make one stage, whose needs are done, unless it is done and nothing changed."""
        folder, inputs = self.settings.folder(stage.name), self.inputs(stage)
        record = records.read(folder)
        reasons = records.changes(record.inputs, inputs) if record else []
        if not records.is_bare(folder) and (again or record is None or reasons):
            self._set_aside(
                folder, "as asked" if again else "; ".join(reasons[:SHOWN]) or "it holds no record"
            )
            record = None
        if record and record.seconds is not None:
            self.say(f"[{stage.name}] done before, skipped")
            return
        record = self._begin(stage, folder, record, inputs)
        start = time.monotonic()
        stage.work(folder)
        seconds = time.monotonic() - start
        records.finish(folder, record, self.inputs(stage), seconds)
        self.say(f"[{stage.name}] {seconds:.0f} s")
        forget_models()

    def inputs(self, stage: Stage) -> Found:
        """What the stage would be made from now."""
        found = stage.inputs()
        for need in stage.needs:
            record = records.read(self.settings.folder(need))
            if record is None or record.seconds is None:
                raise WxrError(f"{stage.name} needs {need}, which is not done")
            found[f"stage {need}"] = record.made
        self.digests.save()
        return found

    def report_now(self) -> Path:
        """Make the report of what is done so far, and return its page."""
        done = tuple(
            state.name for state in self.states() if state.word == "done" and state.name != "report"
        )
        if not any(name == "supervised" or name.startswith("round_") for name in done):
            raise WxrError(
                f"{self.settings.work}: nothing is trained yet that a report could be made of"
            )
        work = partial(pages.report, self.settings, stages=done)
        with only_here(self.settings.work):
            self.make_one(self.stages[-1]._replace(needs=done, work=work))
        return self.settings.folder("report") / "index.html"

    def states(self) -> list[State]:
        """How every stage stands; nothing is made."""
        found: dict[str, State] = {}
        for stage in self.stages:
            found[stage.name] = self._state(stage, found)
        return list(found.values())

    def index(self, name: str) -> int:
        """The place of the stage `name`; WxrError if there is none."""
        names = [stage.name for stage in self.stages]
        if name not in names:
            raise WxrError(f"no stage '{name}' in this run; its stages are {', '.join(names)}")
        return names.index(name)

    def _state(self, stage: Stage, before: dict[str, State]) -> State:
        waits = [need for need in stage.needs if before[need].word != "done"]
        record = records.read(self.settings.folder(stage.name))
        if waits:
            return State(
                stage.name, "waits" if record is None else "outdated", f"after {', '.join(waits)}"
            )
        if record is None:
            return State(stage.name, "new")
        if reasons := records.changes(record.inputs, self.inputs(stage)):
            return State(stage.name, "outdated", "; ".join(reasons[:SHOWN]))
        return State(stage.name, "under way" if record.seconds is None else "done")

    def _begin(self, stage: Stage, folder: Path, record: Record | None, inputs: Found) -> Record:
        if record is None:
            self.say(f"[{stage.name}]")
            record = Record(inputs)
        else:
            self.say(f"[{stage.name}] was stopped, goes on")
            record.attempts += 1
        records.write(folder, record)
        return record

    def _set_aside(self, folder: Path, why: str) -> None:
        target = records.set_aside(folder, self.settings.work / "old")
        self.say(f"[{folder.name}] made again, because {why} (before: {target})")


@contextmanager
def only_here(work: Path) -> Iterator[None]:
    """Keeps other processes out of the folder `work` during the block; WxrError if one is in it already."""
    work.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(work / "run.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.lockf(
                descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB
            )  # gone with the process, and not inherited
        except OSError as error:
            holder = os.read(descriptor, 64).decode(errors="replace").strip() or "unknown"
            raise WxrError(
                f"{work}: process {holder} is at work here; wait for it, or give another work "
                f"folder"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} on {os.uname().nodename}".encode())
        yield
    finally:
        os.close(descriptor)


def forget_models() -> None:
    """Give up the models that a stage loaded: the next one may need their memory for others."""
    from wxr_plugin.conditioning.clip import forget_clips
    from wxr_plugin.labels.restoring import free_gpu
    from wxr_plugin.vlm.transformers_vlm import load_vlm

    load_vlm.cache_clear()
    forget_clips()
    gc.collect()
    free_gpu()
