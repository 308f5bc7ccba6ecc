"""Checks of a run's option file and of the training files that it names, before anything starts."""

import os
from collections.abc import Iterable, Iterator, Mapping
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
from wxr_plugin.wresvlm.settings import Settings, sorted_roots

START = "path.pretrain_network_g"
FILLED = (START, "train.weather_prompt_opt.prompts_path", "train.labels")
"""Keys of the training files that the run fills in."""


def load_run(path: str | os.PathLike, overrides: Iterable[str] = ()) -> Settings:
    """Read and check a run's option file; all its problems are printed to stderr.

    Raises:
        OptionError: the file has problems; nothing was started.
    """
    opt = option_files.load(path, overrides, warn=False)
    problems = check_run(opt, path)
    if problems:
        option_files.refuse(path, problems)
    return Settings(convert(opt, RunOptions))


def check_run(opt: Mapping[str, Any], path: str | os.PathLike) -> list[Problem]:
    """Return the problems of a run's options, and of the training files that they name.

    Nothing is built.
    """
    is_training_file = not is_run_file(opt) and "model_type" in opt
    if is_training_file:
        text = "an option file of one training, not of a whole run"
        fix = f"start it with `wxr train -opt {path}`, or name it in a run's file under train.opt"
        return [Problem(str(path), "", text, fix)]
    # The problems of options that come from no file have no line numbers.
    file = Path(path)
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    report = Report(str(path), lines=key_lines(text))
    add_duplicates(report, text)
    import_into(report, opt)
    check_block(report, (), opt, [RunOptions])
    problems = report.problems
    if not problems:
        problems = _check_parts(report, convert(opt, RunOptions))
    if report.problems:
        return sorted(problems, key=lambda problem: problem.line or 0)
    # Those of the training files alone stay in their order: their lines are of several files.
    return problems


def _check_parts(report: Report, options: RunOptions) -> list[Problem]:
    _names(report, options)
    _models(report, options)
    try:
        settings = Settings(options)
    except OptionError as error:
        report.add(("train",), str(error))
        return report.problems
    # The other rules read blocks that a training file of the wrong kind does not have.
    if _kinds(report, settings):
        for rule in (_photos, _truth, _restorers, _idle, _metrics):
            rule(report, settings)
    if report.problems:
        return report.problems
    return _training_files(report, settings)


def _names(report: Report, options: RunOptions) -> None:
    """Report raters that are named and not defined, and a panel of fewer than two."""
    for keys, name in _named_raters(options):
        if name not in options.raters:
            fix = suggest(name, options.raters, "there are")
            report.add(keys, f"no rater {name!r} among raters", fix)
    different = len(set(options.panel))
    if different < 2:
        text = f"a panel of {different}"
        report.add(("panel",), text, "name two different raters at least")
    elif different < len(options.panel):
        text = "names a rater twice, which would count double"
        report.add(("panel",), text, "name each once")


def _models(report: Report, options: RunOptions) -> None:
    """Report raters with a model or prompt that does not exist; some load after hours."""
    from wxr_plugin.vlm.transformers_rater import check_names

    for name, opt in options.raters.items():
        try:
            check_names(opt)
        except WxrError as error:
            report.add(("raters", name), str(error))


def _named_raters(options: RunOptions) -> Iterator[tuple[tuple, str]]:
    """Yield (keys of the option, name) for every rater that the options name."""
    for number, name in enumerate(options.panel):
        yield ("panel", number), name
    for number, opt in enumerate(options.rounds):
        yield ("rounds", number, "rater"), opt.rater
    # A report without a rater leaves out VLM-Vis.
    if options.report.rater:
        yield ("report", "rater"), options.report.rater
    for number, name in enumerate(options.report.raters):
        yield ("report", "raters", number), name


def _kinds(report: Report, settings: Settings) -> bool:
    """Return whether the training files are of the right kind; report those that are not."""
    before = len(report.problems)
    if settings.train is not None:
        _kind(report, settings, "train", settings.train)
    if settings.supervised is not None:
        _kind(report, settings, "supervised", settings.supervised)
    return len(report.problems) == before


def _kind(report: Report, settings: Settings, key: str, opt: Mapping[str, Any]) -> None:
    """Report the training file under `key` if it is not of the right kind; `opt` is its content."""
    from wxr_plugin.models.wresvlm_model import WResVLMModel

    file = getattr(settings.options, key).opt
    model_type = opt.get("model_type")
    model = registered("model").get(str(model_type))
    is_semi = model is not None and issubclass(model, WResVLMModel)
    keys = (key, "opt")
    if is_run_file(opt):
        text = f"{file} is the file of a whole run"
        report.add(keys, text, "name one of a single training")
    elif key == "train" and model and not is_semi:
        fix = "name one with model_type: WResVLMModel, such as options/train/wresvlm_msbdn.yml"
        report.add(keys, f"{file} trains a {model_type}", fix)
    elif key == "supervised" and is_semi:
        text = f"{file} is not supervised only"
        report.add(keys, text, "name one with model_type: WxrModel")


def _photos(report: Report, settings: Settings) -> None:
    """Report real photos that are missing, and weathers that prompts could not learn."""
    from wxr_plugin.data.images.store import ImageStore

    keys = ("data", "real")
    real = settings.real
    if not real:
        text = "no real photos are named here or in the training file"
        report.add(keys, text, "name their folders")
    by_weather = real if isinstance(real, Mapping) else {}
    # One root without weather has the empty name.
    roots = by_weather or {"": real}
    for weather, root in roots.items():
        try:
            if root:
                ImageStore(root)
        except WxrError as error:
            fix = "put photos there"
            if weather:
                fix = f"put {weather} photos there, or take this weather out"
            report.add(keys, str(error), fix)
    if real:
        _weathers(report, settings, by_weather)


def _truth(report: Report, settings: Settings) -> None:
    """Report a ground truth without images, and one whose names are those of no real photo."""
    from wxr_plugin.data.real_photos import RealPhotos

    roots = settings.options.report.truth
    if not (roots and settings.real):
        return
    keys = ("report", "truth")
    try:
        names = RealPhotos(sorted_roots(roots)).keys()
    except WxrError as error:
        report.add(keys, str(error), "put the ground truth there, or take this out")
        return
    try:
        photos = RealPhotos(settings.real).keys()
    except WxrError:
        # `_photos` reports that.
        return
    if not set(names) & set(photos):
        text = f"no real photo is called {names[0]}, nor like any other of the {len(names)}"
        report.add(keys, text, "name each like its photo, below the same weather")


def _weathers(report: Report, settings: Settings, by_weather: Iterable[str]) -> None:
    """Report weathers that prompts are to learn and that have neither photos nor stand-ins."""
    missing = {"rain", "haze", "snow"} - set(by_weather)
    if not missing or not settings.uses_prompts:
        return
    # Synthetic weather takes the place of missing photos.
    if settings.options.prompts.synthetic:
        return
    names = ", ".join(sorted(missing))
    text = f"no real photos of {names} to learn prompts from"
    report.add(("prompts",), text, "add them to data.real, or set prompts.synthetic: true")


def _restorers(report: Report, settings: Settings) -> None:
    """Report restorers of the first vote that cannot be read."""
    from wxr_plugin.inference.specs import read_spec

    init = settings.options.init
    restorers = init.restorers if init else ()
    for number, text in enumerate(restorers):
        keys = ("init", "restorers", number)
        try:
            if text != "supervised":
                read_spec(text)
            elif settings.supervised is None:
                report.add(keys, "there is no supervised stage", "name it under supervised")
        except WxrError as error:
            report.add(keys, str(error))


def _idle(report: Report, settings: Settings) -> None:
    """Report blocks that nothing would use."""
    if settings.options.init and not settings.uses_labels:
        text = (
            "chooses pseudo-labels, which no loss of the training file uses (pseudo_opt, "
            "feature_opt, gate: teacher)"
        )
        report.add(("init",), text, "take it out")


def _metrics(report: Report, settings: Settings) -> None:
    """Report metrics that need a ground truth, which real photos do not have."""
    from wxr_plugin.models.base.val_metrics import usable_metrics

    metrics = settings.options.report.metrics
    usable = usable_metrics(metrics, with_gt=False)
    fix = "take it out; val.metrics of the training files may have it"
    for name in set(metrics) - set(usable):
        kind = metrics[name]["type"]
        text = f"{kind} compares with a ground truth, which real photos do not have"
        report.add(("report", "metrics", name), text, fix)


def _training_files(report: Report, settings: Settings) -> list[Problem]:
    """Return the problems of the training files as the run will use them."""
    options = settings.options
    jobs = []
    if settings.supervised:
        jobs.append((options.supervised.opt, settings.supervised_options()))
    for number in range(len(options.rounds)):
        try:
            opt = settings.round_options(number + 1, None, None)
        except OptionError as error:
            report.add(("rounds", number, "force_yml"), str(error))
            return report.problems
        jobs.append((options.train.opt, opt))
    # Several rounds have one file: a problem that they share is reported once.
    problems: dict[str, Problem] = {}
    for file, opt in jobs:
        _processes(report, options.launch.nproc_per_node, file, opt.get("num_gpu"))
        filled = _filled_keys(settings, opt)
        for problem in option_files.check(opt, file):
            if problem.key not in filled:
                problems.setdefault(str(problem), problem)
    own = {str(problem): problem for problem in report.problems}
    joined = {**own, **problems}
    return list(joined.values())


def _filled_keys(settings: Settings, opt: Mapping[str, Any]) -> set[str]:
    """Return the keys of a training's options that the run fills in."""
    if opt["name"] == settings.training_name("supervised"):
        return set()
    filled = set(FILLED)
    # These start from the file's own network.
    if settings.supervised is None or settings.options.start == "train":
        filled.discard(START)
    return filled


def _processes(report: Report, count: int, file: str, num_gpu: Any) -> None:
    """Report a training file that asks for several GPUs in one process."""
    asks_for_several = isinstance(num_gpu, int) and num_gpu > 1
    if asks_for_several and count == 1:
        text = f"1 process trains on 1 GPU, and {file} has num_gpu: {num_gpu}"
        fix = f"set it to {num_gpu}, or num_gpu to auto"
        report.add(("launch", "nproc_per_node"), text, fix)
