"""Run of all stages: each is made unless it is done and its inputs have not changed."""

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
from wxr_plugin.wresvlm.inputs import Inputs, Values
from wxr_plugin.wresvlm.records import Record
from wxr_plugin.wresvlm.report import pages
from wxr_plugin.wresvlm.settings import Settings

SHOWN = 3
"""Reasons that are printed for making a stage again."""


class State(NamedTuple):
    """State of a stage."""

    name: str
    word: str
    """One of done, under way, outdated, waits and new."""
    why: str = ""
    """Changes of its inputs, or the stages that it waits for."""


class Run:
    """The stages of one run and their state.

    Attributes: `settings`; `stages`, in their order. `say` is called with a line for each event.
    """

    def __init__(self, settings: Settings, say: Callable[[str], object] = print):
        # Plug-ins register the networks and raters that the chain may name.
        import_plugins({"plugins": settings.options.plugins})
        self.settings = settings
        self.say = say
        self.digests = FileDigests(settings.work / "digests.json")
        inputs = Inputs(settings, self.digests)
        self.stages = Chain(settings, inputs).build()

    def make(self, until: str | None = None, redo: Sequence[str] = ()) -> None:
        """Make every stage up to `until` that is not done; those of `redo` again, done or not.

        A stage whose inputs changed is moved below old/ and made again, and so is every stage that
        uses its result.

        Raises:
            WxrError: there is no such stage, another process works in the folder, or a stage fails.
        """
        last = self.index(until) if until else len(self.stages) - 1
        again = set(redo)
        # Names that do not exist are refused before any work begins.
        for name in again:
            self.index(name)
        with only_here(self.settings.work):
            for stage in self.stages[: last + 1]:
                self.make_one(stage, stage.name in again)

    def make_one(self, stage: Stage, again: bool = False) -> None:
        """Make one stage, whose needs are done, unless it is done and nothing changed."""
        folder = self.settings.folder(stage.name)
        inputs = self.inputs(stage)
        self.digests.save()
        record = records.read(folder)
        reasons = ["it holds no record"]
        if again:
            reasons = ["as asked"]
        elif record:
            reasons = records.changes(record.inputs, inputs)
        if reasons and not records.is_bare(folder):
            why = "; ".join(reasons[:SHOWN])
            self._set_aside(folder, why)
            record = None
        if record and record.seconds is not None:
            self.say(f"[{stage.name}] done before, skipped")
            return
        record = self._begin(stage, folder, record, inputs)
        self._work(stage, folder, record)
        forget_models()

    def _work(self, stage: Stage, folder: Path, record: Record) -> None:
        """Do the work of a stage in its folder, and record that it is done."""
        start = time.monotonic()
        stage.work(folder)
        seconds = time.monotonic() - start
        # Inputs are collected again: the work may have downloaded weights that were unknown before.
        inputs = self.inputs(stage)
        self.digests.save()
        records.finish(folder, record, inputs, seconds)
        self.say(f"[{stage.name}] {seconds:.0f} s")

    def inputs(self, stage: Stage) -> Values:
        """Return the inputs that the stage would be made from now.

        Raises:
            WxrError: a stage that it needs is not done.
        """
        values = stage.inputs()
        for need in stage.needs:
            folder = self.settings.folder(need)
            record = records.read(folder)
            is_done = record is not None and record.seconds is not None
            if not is_done:
                raise WxrError(f"{stage.name} needs {need}, which is not done")
            values[f"stage {need}"] = record.made
        return values

    def report_now(self) -> Path:
        """Make the report of the stages that are done, and return its page.

        Raises:
            WxrError: no training is done.
        """
        done = []
        for state in self.states():
            if state.word == "done" and state.name != "report":
                done.append(state.name)
        trainings = [name for name in done if name == "supervised" or name.startswith("round_")]
        if not trainings:
            raise WxrError(f"{self.settings.work}: no training is done that could be reported on")
        # The last stage, as if the run ended here.
        stages = tuple(done)
        work = partial(pages.report, self.settings, stages=stages)
        stage = self.stages[-1]._replace(needs=stages, work=work)
        with only_here(self.settings.work):
            self.make_one(stage)
        return self.settings.folder("report") / "index.html"

    def states(self) -> list[State]:
        """Return the state of every stage; nothing is made."""
        states: dict[str, State] = {}
        for stage in self.stages:
            states[stage.name] = self._state(stage, states)
        return list(states.values())

    def index(self, name: str) -> int:
        """Return the place of the stage `name`; raise WxrError if there is none."""
        names = [stage.name for stage in self.stages]
        if name not in names:
            existing = ", ".join(names)
            raise WxrError(f"no stage '{name}' in this run; its stages are {existing}")
        return names.index(name)

    def _state(self, stage: Stage, before: dict[str, State]) -> State:
        waits = [need for need in stage.needs if before[need].word != "done"]
        folder = self.settings.folder(stage.name)
        record = records.read(folder)
        # A stage that it needs will be made again, so its own inputs cannot be compared yet.
        if waits:
            word = "waits" if record is None else "outdated"
            why = f"after {', '.join(waits)}"
            return State(stage.name, word, why)
        if record is None:
            return State(stage.name, "new")
        inputs = self.inputs(stage)
        reasons = records.changes(record.inputs, inputs)
        if reasons:
            why = "; ".join(reasons[:SHOWN])
            return State(stage.name, "outdated", why)
        if record.seconds is None:
            return State(stage.name, "under way")
        return State(stage.name, "done")

    def _begin(self, stage: Stage, folder: Path, record: Record | None, inputs: Values) -> Record:
        if record is None:
            self.say(f"[{stage.name}]")
            record = Record(inputs)
        else:
            self.say(f"[{stage.name}] was stopped, resumes")
            record.attempts += 1
        records.write(folder, record)
        return record

    def _set_aside(self, folder: Path, why: str) -> None:
        old = self.settings.work / "old"
        target = records.set_aside(folder, old)
        self.say(f"[{folder.name}] made again, because {why} (before: {target})")


@contextmanager
def only_here(work: Path) -> Iterator[None]:
    """Keep other processes out of the folder `work` during the block.

    Raises:
        WxrError: another process is in it already.
    """
    work.mkdir(parents=True, exist_ok=True)
    lock = work / "run.lock"
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(descriptor, work)
        # The holder's name, for the message that other processes print.
        holder = f"{os.getpid()} on {os.uname().nodename}"
        os.ftruncate(descriptor, 0)
        os.write(descriptor, holder.encode())
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, work: Path) -> None:
    """Lock the open file without waiting; raise WxrError if another process holds it."""
    try:
        # A record lock ends with the process, however it ends, and is not inherited by forks.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        text = os.read(descriptor, 64).decode(errors="replace")
        holder = text.strip() or "unknown"
        raise WxrError(
            f"{work}: process {holder} is at work here; wait for it, or give another work folder"
        ) from error


def forget_models() -> None:
    """Drop the models that a stage loaded: the next stage may need their memory."""
    from wxr_plugin.conditioning.clip import forget_clips
    from wxr_plugin.labels.restoring import free_gpu
    from wxr_plugin.vlm.transformers_vlm import load_vlm

    load_vlm.cache_clear()
    forget_clips()
    # Models hold themselves in reference cycles.
    gc.collect()
    free_gpu()
