"""The stages of a run in their order: what each builds on, what it is made from, and how it is made."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from wxr_plugin.vlm.registries import COST
from wxr_plugin.wresvlm import label_stages, train_stages
from wxr_plugin.wresvlm.inputs import Found, Inputs
from wxr_plugin.wresvlm.report import pages
from wxr_plugin.wresvlm.settings import Settings


class Stage(NamedTuple):
    """One stage."""

    name: str
    """That of its folder, too."""
    needs: tuple[str, ...]
    """The stages whose results it uses."""
    inputs: Callable[[], Found]
    """What else it is made from; called when the stages it needs are done."""
    work: Callable[[Path], Any]
    """Makes it in its folder, and after a kill goes on there."""


class Chain:
    """Lays out the stages for the options of a run.

    `now` holds the stages that the next one takes its `start` (a network), `labels`, `texts` and
    `prompts` from.
    """

    def __init__(self, settings: Settings, inputs: Inputs):
        self.settings, self.inputs = settings, inputs
        self.stages: list[Stage] = []
        self.now: dict[str, str | None] = dict.fromkeys(("start", "labels", "texts", "prompts"))

    def build(self) -> list[Stage]:
        """All stages."""
        if self.settings.supervised:
            opt = self.settings.supervised_options()
            made_from = partial(self.inputs.training, opt, False)
            self.add("supervised", (), made_from, train_stages.train_supervised, becomes="start")
        self.first()
        for number in range(1, len(self.settings.options.rounds) + 1):
            if number > 1:
                self.between(number)
            self.round(number)
        self.report()
        return self.stages

    def first(self) -> None:
        """What comes before the first round."""
        settings = self.settings
        if settings.options.init:
            needs = (
                ("supervised",)
                if label_stages.SUPERVISED in settings.options.init.restorers
                else ()
            )
            self.add("init", needs, self._init_inputs, label_stages.choose_first, becomes="labels")
        if settings.uses_texts:
            self.add("describe", (), self._describe_inputs, label_stages.describe)
            self._rewrite("rewrite", "describe")
        if settings.uses_prompts:
            made_from = partial(self._prompt_inputs, None)
            self.add(
                "prompts",
                (),
                made_from,
                partial(train_stages.learn_prompts, labels=None),
                becomes="prompts",
            )

    def between(self, number: int) -> None:
        """What is made anew before round `number`: 'iter' in the paper's ablation."""
        settings, again, before = (
            self.settings,
            self.settings.options.between,
            f"round_{number - 1}",
        )
        if again.panel and settings.uses_labels:
            work = partial(label_stages.choose_again, before=before)
            self.add(f"panel_{number}", (before,), self._panel_inputs, work, becomes="labels")
        labels = self.now["labels"]
        if again.describe and settings.uses_texts and settings.uses_labels:
            work = partial(label_stages.describe_labels, labels=labels)
            self.add(f"describe_{number}", (labels,), self._describer_inputs, work)
            self._rewrite(f"rewrite_{number}", f"describe_{number}")
        if again.prompts and settings.uses_prompts:
            work = partial(train_stages.learn_prompts, labels=labels)
            needs, made_from = (labels,) if labels else (), partial(self._prompt_inputs, labels)
            self.add(f"prompts_{number}", needs, made_from, work, becomes="prompts")

    def round(self, number: int) -> None:
        """Round `number`; its network and its labels are those that the next one begins with."""
        sources = dict(self.now)
        needs = tuple(dict.fromkeys(stage for stage in sources.values() if stage))
        opt = self.settings.round_options(number, sources["start"], sources["prompts"])
        made_from = partial(self.inputs.training, opt, bool(sources["start"]))
        name, work = (
            f"round_{number}",
            partial(train_stages.train_round, number=number, sources=sources),
        )
        self.add(name, needs, lambda: made_from() | self.inputs.real(), work, becomes="start")
        self.now["labels"] = name if self.settings.uses_labels else None

    def report(self) -> None:
        """The report on all stages before it."""
        before = [stage.name for stage in self.stages]
        work = partial(pages.report, stages=before)
        self.add("report", tuple(before), self._report_inputs, work)

    def add(
        self,
        name: str,
        needs: tuple[str, ...],
        inputs: Callable[[], Found],
        work: Callable[..., Any],
        becomes: str | None = None,
    ) -> None:
        """Add a stage whose result `becomes` what the next ones take."""
        self.stages.append(Stage(name, needs, inputs, partial(work, self.settings)))
        if becomes:
            self.now[becomes] = name

    def _rewrite(self, name: str, described: str) -> None:
        work = partial(label_stages.rewrite, described=described)
        made_from = partial(self.inputs.flat, "rewrite", self.settings.options.rewrite, COST)
        self.add(name, (described,), made_from, work, becomes="texts")

    def _init_inputs(self) -> Found:
        restorers = self.inputs.restorers(label_stages.specs(self.settings))
        return {**restorers, **self._voters(), **self.inputs.real()}

    def _panel_inputs(self) -> Found:
        return {
            **self.inputs.restorers([]),
            **self._voters(),
            **self.inputs.crops(),
            **self.inputs.real(),
        }

    def _voters(self) -> Found:
        names = self.settings.options.panel
        return {"panel": names, **self.inputs.raters(names)}

    def _describe_inputs(self) -> Found:
        of = self.settings.options.describe.of
        where = self.inputs.crops() if of == "crops" else {}
        return {"describe.of": of, **where, **self._describer_inputs(), **self.inputs.real()}

    def _describer_inputs(self) -> Found:
        return self.inputs.flat(
            "describe.describer", self.settings.options.describe.describer, COST
        )

    def _prompt_inputs(self, labels: str | None) -> Found:
        options = msgspec.to_builtins(train_stages.prompt_options(self.settings, labels))
        photos, synthetic = options.pop("photos"), options.pop("synthetic")
        options.pop("pseudo_labels")
        found = self.inputs.flat("prompts", options) | self.inputs.photos("prompts", photos)
        return found | (self.inputs.photos("prompts synthetic", synthetic) if synthetic else {})

    def _report_inputs(self) -> Found:
        options = self.settings.options.report
        found = self.inputs.flat("report", msgspec.to_builtins(options)) | self.inputs.real()
        return found | (self.inputs.raters([options.rater]) if options.rater else {})
