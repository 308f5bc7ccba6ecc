"""Stages of a run in their order: each with its inputs, the stages that it needs, and its work."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from wxr_plugin.vlm.registries import COST
from wxr_plugin.wresvlm import label_stages, train_stages
from wxr_plugin.wresvlm.inputs import Inputs, Values
from wxr_plugin.wresvlm.report import pages
from wxr_plugin.wresvlm.settings import Settings, sorted_roots


class Stage(NamedTuple):
    """One stage."""

    name: str
    """Also the name of its folder."""
    needs: tuple[str, ...]
    """Stages whose results it uses."""
    inputs: Callable[[], Values]
    """Returns everything else that it is made from; called when the stages it needs are done."""
    work: Callable[[Path], Any]
    """Makes it in the folder that it is given, and after a kill resumes there."""


class Chain:
    """Builder of the stages of a run.

    `latest` maps the kinds of artefact (start, which is a network, labels, texts, prompts) to the
    stage that last produced one; None without any.
    """

    def __init__(self, settings: Settings, inputs: Inputs):
        self.settings = settings
        self.inputs = inputs
        self.stages: list[Stage] = []
        kinds = ("start", "labels", "texts", "prompts")
        self.latest: dict[str, str | None] = dict.fromkeys(kinds)

    def build(self) -> list[Stage]:
        """Return all stages."""
        if self.settings.supervised:
            self.supervised()
        self.first()
        count = len(self.settings.options.rounds)
        for number in range(1, count + 1):
            if number > 1:
                self.between(number)
            self.round(number)
        self.report()
        return self.stages

    def supervised(self) -> None:
        """Add supervised training, whose network the first round starts from by default."""
        opt = self.settings.supervised_options()
        inputs = partial(self.inputs.training, opt, False)
        work = train_stages.train_supervised
        is_start = self.settings.options.start == "supervised"
        self.add("supervised", (), inputs, work, becomes="start" if is_start else None)

    def first(self) -> None:
        """Add the stages between supervised training and the first round."""
        settings = self.settings
        init = settings.options.init
        if init:
            is_needed = label_stages.SUPERVISED in init.restorers
            needs = (label_stages.SUPERVISED,) if is_needed else ()
            work = label_stages.choose_first
            self.add("init", needs, self._init_inputs, work, becomes="labels")
        if settings.uses_texts:
            self.add("describe", (), self._describe_inputs, label_stages.describe)
            self._rewrite("rewrite", "describe")
        if settings.uses_prompts:
            self._prompts("prompts", None)

    def between(self, number: int) -> None:
        """Add the stages that are repeated before a round: 'iter' in the paper's ablation."""
        settings = self.settings
        repeated = settings.options.between
        before = f"round_{number - 1}"
        if repeated.panel and settings.uses_labels:
            work = partial(label_stages.choose_again, before=before)
            inputs = self._panel_inputs
            self.add(f"panel_{number}", (before,), inputs, work, becomes="labels")
        # Those that the panel chose, or without a vote those that the round ended with.
        labels = self.latest["labels"]
        if repeated.describe and settings.uses_texts and settings.uses_labels:
            described = f"describe_{number}"
            work = partial(label_stages.describe_labels, labels=labels)
            self.add(described, (labels,), self._describer_inputs, work)
            self._rewrite(f"rewrite_{number}", described)
        if repeated.prompts and settings.uses_prompts:
            self._prompts(f"prompts_{number}", labels)

    def round(self, number: int) -> None:
        """Add round `number`; the next one starts from its network and its labels."""
        name = f"round_{number}"
        sources = dict(self.latest)
        # A stage that produced several kinds is needed once.
        needs = dict.fromkeys(stage for stage in sources.values() if stage)
        opt = self.settings.round_options(number, sources["start"], sources["prompts"])
        has_start = bool(sources["start"])

        def inputs() -> Values:
            training = self.inputs.training(opt, has_start)
            return training | self.inputs.real()

        work = partial(train_stages.train_round, number=number, sources=sources)
        self.add(name, tuple(needs), inputs, work, becomes="start")
        # Texts alone have a store too, but no pseudo-labels in it.
        self.latest["labels"] = name if self.settings.uses_labels else None

    def report(self) -> None:
        """Add the report on all stages before it."""
        before = [stage.name for stage in self.stages]
        work = partial(pages.report, stages=before)
        self.add("report", tuple(before), self._report_inputs, work)

    def add(
        self,
        name: str,
        needs: tuple[str, ...],
        inputs: Callable[[], Values],
        work: Callable[..., Any],
        becomes: str | None = None,
    ) -> None:
        """Add a stage; `becomes` is the kind of artefact that it produces for later stages."""
        work = partial(work, self.settings)
        stage = Stage(name, needs, inputs, work)
        self.stages.append(stage)
        if becomes:
            self.latest[becomes] = name

    def _prompts(self, name: str, labels: str | None) -> None:
        """Add prompt learning, also from the pseudo-labels of the stage `labels`."""
        needs = (labels,) if labels else ()
        inputs = partial(self._prompt_inputs, labels)
        work = partial(train_stages.learn_prompts, labels=labels)
        self.add(name, needs, inputs, work, becomes="prompts")

    def _rewrite(self, name: str, described: str) -> None:
        """Add the rewriting of the texts of the stage `described`."""
        options = self.settings.options.rewrite
        inputs = partial(self.inputs.flat, "rewrite", options, COST)
        work = partial(label_stages.rewrite, described=described)
        self.add(name, (described,), inputs, work, becomes="texts")

    def _init_inputs(self) -> Values:
        specs = label_stages.specs(self.settings)
        restorers = self.inputs.restorers(specs)
        photos = self.inputs.real()
        return {**restorers, **self._voters(), **photos}

    def _panel_inputs(self) -> Values:
        # The candidates come from the round before, which is among the needs.
        tiling = self.inputs.restorers([])
        boxes = self.inputs.crops()
        photos = self.inputs.real()
        return {**tiling, **self._voters(), **boxes, **photos}

    def _voters(self) -> Values:
        names = self.settings.options.panel
        raters = self.inputs.raters(names)
        return {"panel": names, **raters}

    def _describe_inputs(self) -> Values:
        described = self.settings.options.describe.of
        # Whole photos do not depend on the boxes of training.
        boxes = self.inputs.crops() if described == "crops" else {}
        describer = self._describer_inputs()
        photos = self.inputs.real()
        return {"describe.of": described, **boxes, **describer, **photos}

    def _describer_inputs(self) -> Values:
        options = self.settings.options.describe.describer
        return self.inputs.flat("describe.describer", options, COST)

    def _prompt_inputs(self, labels: str | None) -> Values:
        options = train_stages.prompt_options(self.settings, labels)
        opt = msgspec.to_builtins(options)
        # The stage that made the labels is among the needs.
        opt.pop("pseudo_labels")
        photos = opt.pop("photos")
        synthetic = opt.pop("synthetic")
        values = self.inputs.flat("prompts", opt)
        values |= self.inputs.photos("prompts", photos)
        if synthetic:
            values |= self.inputs.photos("prompts synthetic", synthetic)
        return values

    def _report_inputs(self) -> Values:
        options = self.settings.options.report
        opt = msgspec.to_builtins(options)
        values = self.inputs.flat("report", opt)
        values |= self.inputs.real()
        if options.truth:
            values |= self.inputs.photos("truth", sorted_roots(options.truth))
        values |= self.inputs.raters(options.judges)
        return values
