"""Everything that is wrong with a run's option file and the files that it names, before anything starts."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wxr_plugin.errors import OptionError, WxrError
from wxr_plugin.options import files as option_files
from wxr_plugin.options.checks.components import registered
from wxr_plugin.options.checks.fields import check_block
from wxr_plugin.options.checks.report import Problem, Report, add_duplicates, key_lines, suggest
from wxr_plugin.options.kinds import is_run_file
from wxr_plugin.options.plugins import import_into
from wxr_plugin.schema import convert
from wxr_plugin.wresvlm.options import RunOptions
from wxr_plugin.wresvlm.settings import Settings

FILLED = ("path.pretrain_network_g", "train.weather_prompt_opt.prompts_path", "train.labels")
"""Keys of the training files that the run fills in."""


def load_run(path: str | os.PathLike, overrides: Iterable[str] = ()) -> Settings:
    """Read and check a run's option file; all its problems are printed to stderr.

    Raises:
        OptionError: it has problems, and nothing was started.
    """
    opt = option_files.load(path, overrides, warn=False)
    problems = check_run(opt, path)
    if problems:
        option_files.refuse(path, problems)
    return Settings(convert(opt, RunOptions))


def check_run(opt: Mapping[str, Any], path: str | os.PathLike) -> list[Problem]:
    """The problems of the run's options `opt`, and of the training files that it names; nothing is built."""
    if not is_run_file(opt) and "model_type" in opt:
        mend = f"start it with `wxr train -opt {path}`, or name it in a run's file under train.opt"
        return [Problem(str(path), "", "an option file of one training, not of a whole run", mend)]
    text = Path(path).read_text(encoding="utf-8") if Path(path).is_file() else ""
    report = Report(str(path), lines=key_lines(text))
    add_duplicates(report, text)
    import_into(report, opt)
    check_block(report, (), opt, [RunOptions])
    found = report.problems or _check_parts(report, convert(opt, RunOptions))
    return sorted(found, key=lambda problem: problem.line or 0) if report.problems else found


def _check_parts(report: Report, options: RunOptions) -> list[Problem]:
    _names(report, options)
    try:
        settings = Settings(options)
    except OptionError as error:
        report.add(("train",), str(error))
        return report.problems
    if _kinds(report, settings):
        for rule in (_photos, _restorers, _idle, _metrics):
            rule(report, settings)
    if report.problems:
        return report.problems
    return _training_files(report, settings)


def _names(report: Report, options: RunOptions) -> None:
    """Raters that are named and not defined, and a panel that is none."""
    named = [(("panel", number), name) for number, name in enumerate(options.panel)]
    named += [
        (("rounds", number, "rater"), each.rater) for number, each in enumerate(options.rounds)
    ]
    named += [(("report", "rater"), options.report.rater)] if options.report.rater else []
    for keys, name in named:
        if name not in options.raters:
            report.add(
                keys, f"no rater {name!r} among raters", suggest(name, options.raters, "there are")
            )
    if len(set(options.panel)) < 2:
        report.add(
            ("panel",),
            f"a panel of {len(set(options.panel))}",
            "name two different raters at least",
        )
    elif len(set(options.panel)) < len(options.panel):
        report.add(("panel",), "names a rater twice, which would count double", "name each once")


def _kinds(report: Report, settings: Settings) -> bool:
    """Whether the training files are of the right kind."""
    from wxr_plugin.models.wresvlm_model import WResVLMModel

    known, before = registered("model"), len(report.problems)
    for key, opt in (("train", settings.train), ("supervised", settings.supervised)):
        if opt is None:
            continue
        file, model = getattr(settings.options, key).opt, known.get(str(opt.get("model_type")))
        if is_run_file(opt):
            report.add(
                (key, "opt"), f"{file} is the file of a whole run", "name one of a single training"
            )
        elif key == "train" and model and not issubclass(model, WResVLMModel):
            mend = "name one with model_type: WResVLMModel, such as options/train/wresvlm_msbdn.yml"
            report.add((key, "opt"), f"{file} trains a {opt['model_type']}", mend)
        elif key == "supervised" and model and issubclass(model, WResVLMModel):
            report.add(
                (key, "opt"), f"{file} is not supervised only", "name one with model_type: WxrModel"
            )
    return len(report.problems) == before


def _photos(report: Report, settings: Settings) -> None:
    """Real photos that are not there, and weathers that prompts could not learn."""
    from wxr_plugin.data.images.store import ImageStore

    real = settings.real
    if not real:
        report.add(
            ("data", "real"),
            "no real photos are named here or in the training file",
            "name their folders",
        )
    for weather, root in real.items() if isinstance(real, Mapping) else [("", real)]:
        try:
            ImageStore(root) if root else None
        except WxrError as error:
            mend = (
                f"put {weather} photos there, or take this weather out"
                if weather
                else "put photos there"
            )
            report.add(("data", "real"), str(error), mend)
    missing = (
        {"rain", "haze", "snow"} - set(real)
        if isinstance(real, Mapping)
        else {"rain", "haze", "snow"}
    )
    if settings.uses_prompts and missing and real and not settings.options.prompts.synthetic:
        what = f"no real photos of {', '.join(sorted(missing))} to learn prompts from"
        report.add(("prompts",), what, "add them to data.real, or set prompts.synthetic: true")


def _restorers(report: Report, settings: Settings) -> None:
    from wxr_plugin.inference.specs import read_spec

    init = settings.options.init
    for number, text in enumerate(init.restorers if init else ()):
        try:
            if text != "supervised":
                read_spec(text)
            elif settings.supervised is None:
                report.add(
                    ("init", "restorers", number),
                    "there is no supervised stage",
                    "name it under supervised",
                )
        except WxrError as error:
            report.add(("init", "restorers", number), str(error))


def _idle(report: Report, settings: Settings) -> None:
    """Blocks that nothing would use."""
    if settings.options.init and not settings.uses_labels:
        what = "chooses pseudo-labels, which no loss of the training file uses (pseudo_opt, feature_opt, gate: teacher)"
        report.add(("init",), what, "take it out")


def _metrics(report: Report, settings: Settings) -> None:
    """Metrics of real photos, which have no ground truth."""
    from wxr_plugin.models.base.val_metrics import usable_metrics

    metrics = settings.options.report.metrics
    for name in set(metrics) - set(usable_metrics(metrics, with_gt=False)):
        what = (
            f"{metrics[name]['type']} compares with a ground truth, which real photos do not have"
        )
        report.add(
            ("report", "metrics", name),
            what,
            "take it out; val.metrics of the training files may have it",
        )


def _training_files(report: Report, settings: Settings) -> list[Problem]:
    """The problems of the training files as the run will use them."""
    jobs = (
        [(settings.options.supervised.opt, settings.supervised_options())]
        if settings.supervised
        else []
    )
    for number in range(len(settings.options.rounds)):
        try:
            jobs.append(
                (settings.options.train.opt, settings.round_options(number + 1, None, None))
            )
        except OptionError as error:
            report.add(("rounds", number, "force_yml"), str(error))
            return report.problems
    found: dict[str, Problem] = {}
    for file, opt in jobs:
        _processes(report, settings.options.launch.nproc_per_node, file, opt.get("num_gpu"))
        filled = FILLED if opt["name"] != settings.training_name("supervised") else ()
        start = settings.supervised is None
        for problem in option_files.check(opt, file):
            if problem.key not in filled or (start and problem.key == FILLED[0]):
                found.setdefault(str(problem), problem)
    return list({str(problem): problem for problem in (*report.problems, *found.values())}.values())


def _processes(report: Report, count: int, file: str, num_gpu: Any) -> None:
    """A training file that wants several GPUs for one process."""
    if isinstance(num_gpu, int) and num_gpu > 1 and count == 1:
        what = f"1 process trains on 1 GPU, and {file} has num_gpu: {num_gpu}"
        report.add(("launch", "nproc_per_node"), what, f"set it to {num_gpu}, or num_gpu to auto")
