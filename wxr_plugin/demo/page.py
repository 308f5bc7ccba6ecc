"""The page of the demo: the report of its run with its result on top and what to do next below."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from wxr_plugin.benchmark.report import page as report_page
from wxr_plugin.benchmark.report.page import Section, html_table, titled_tables
from wxr_plugin.benchmark.tables import Cell, Heading, Table
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.html import escape
from wxr_plugin.wresvlm.report import pages, scores, tables
from wxr_plugin.wresvlm.report.measuring import INPUT, START, Row
from wxr_plugin.wresvlm.report.scores import Scores
from wxr_plugin.wresvlm.settings import Settings

TITLE = "WResVLM on photos without ground truth"
SYNTHETIC = (
    "The unlabelled photos are synthetic: scikit-image and scikit-learn hold no photos of rain, "
    "haze or snow. They are clear photos of these packages under the weather “shifted”, which no "
    "supervised training draws. So their ground truth is known, and used for measuring alone."
)
OWN = "The unlabelled photos are your own, so their ground truth is not known."
SEMI = "round_1"
OTHERS = (START, "supervised")


class Results(NamedTuple):
    """A finished run: its settings, its stages but the report, and the measured photos."""

    settings: Settings
    stages: Sequence[str]
    rows: Sequence[Row]
    packaged: Mapping[str, Mapping[str, float]]
    """Set of held-out pairs -> weather -> PSNR of the packaged network."""


class Call(NamedTuple):
    """A call of the demo."""

    output: Path
    file: Path
    """The run's option file."""
    real: Path | None
    """Folder of the caller's photos; None: the packaged ones."""


def read(settings: Settings, stages: Sequence[str], packaged: Mapping) -> Results:
    """Read what the report stage measured; `packaged` as in Results.

    Raises:
        WxrError: its file is damaged.
    """
    file = settings.folder("report") / "photos.json"
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fix = "remove the folder report next to it and call the demo again"
        raise WxrError(f"{file}: {error}; {fix}") from error
    return Results(settings, stages, rows, packaged)


def html(results: Results, call: Call) -> str:
    """Return the page of the demo."""
    parts = {part.link: part for part in pages.sections(*results[:3])}
    tables_of_pairs = [measure.table(_titles(results)) for measure in _held_out(results)]
    pairs = f"{pages.RANKS}\n{titled_tables(tables_of_pairs)}"
    parts["Validation"] = Section("Pairs", "Held-out pairs, by network", pairs)
    first = Section("Result", "Result", _result(results))
    order = ("Photos", "Labels", "Curves", "Scores", "Validation")
    following = Section("Next", "What to do next", _commands(call))
    shown = [parts.pop(link) for link in order]
    sections = [first, *shown, following, *parts.values()]
    note = f'<p class="note">{escape(OWN if call.real else SYNTHETIC)}</p>'
    return report_page.page(TITLE, _summary(results.settings), sections, note)


def print_result(results: Results) -> None:
    """Print the result and the times of the stages."""
    _, times = tables.times(results.settings, [*results.stages, "report"])
    stages = ", ".join(f"{name} {seconds}" for name, seconds, _ in times)
    print()
    scores.print_figures(result_table(results))
    print(*verdicts(results), f"Times: {stages}.", sep="\n")


def result_table(results: Results) -> Table:
    """Return the result: a row for each step, a column for each measure, over all weathers."""
    titles = _titles(results)
    columns, rows = [], {}
    for measure in _measures(results):
        of_measure = measure.table(titles)
        # The last column is of all weathers.
        columns.append(Heading(measure.title, measure.better))
        for name, cells in of_measure.rows:
            rows.setdefault(name, {})[measure.title] = cells[-1]
    table = Table("Result", columns, [], corner="network")
    for name, cells in rows.items():
        row = [cells.get(heading.title, Cell()) for heading in columns]
        table.rows.append((name, row))
    return table


def verdicts(results: Results) -> list[str]:
    """Return a line for each measure: semi-supervised minus packaged and supervised only."""
    titles = _titles(results)
    lines = []
    for measure in _measures(results):
        differences = []
        for step in OTHERS:
            if {step, SEMI} <= set(measure.values):
                difference = _mean(measure, SEMI) - _mean(measure, step)
                differences.append(f"{difference:+.3f} against {titles.get(step, step)}")
        if differences:
            ours = titles.get(SEMI, SEMI)
            lines.append(f"{measure.title}: {ours} {', '.join(differences)}.")
    return lines


def _measures(results: Results) -> list[Scores]:
    """Return PSNR and VLM-Vis of the unlabelled photos, and PSNR of the held-out pairs."""
    measures = []
    for measure in scores.of_photos(results.rows, results.settings.options.report.metrics):
        measures.append(measure._replace(title=f"{measure.title}, unlabelled photos"))
    for measure in _held_out(results):
        if measure.title in results.packaged:
            # Of "psnr, held out, default weather" the end.
            weather = measure.title.rpartition(", ")[2]
            measures.append(measure._replace(title=f"PSNR, {weather}"))
    return measures


def _held_out(results: Results) -> list[Scores]:
    """Return the measures of the held-out pairs, with those of the packaged network."""
    measures = []
    for measure in scores.of_validation(results.settings, results.stages):
        means = results.packaged.get(measure.title)
        values = dict(measure.values)
        if means:
            # After the input and before the trained networks.
            of_input = {INPUT: values.pop(INPUT)} if INPUT in values else {}
            values = {**of_input, START: dict(means), **values}
        measures.append(measure._replace(values=values))
    return measures


def _titles(results: Results) -> Mapping[str, str]:
    return results.settings.options.report.titles


def _mean(measure: Scores, step: str) -> float:
    """Return the mean of a step over all weathers."""
    # The last column of a table too: `overall`, or the only weather.
    *_, mean = measure.values[step].values()
    return mean


def _result(results: Results) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in verdicts(results))
    note = escape(pages.judge_note(results.settings))
    return f"{html_table(result_table(results))}\n<ul>{lines}</ul>\n<p>{note}</p>"


def _summary(settings: Settings) -> str:
    supervised = settings.supervised["train"]["total_iter"]
    iterations = settings.options.rounds[0].iterations
    return (
        "Packaged: the restorer that is shipped. Supervised only: the same after "
        f"{supervised} iterations on pairs. Semi-supervised: the same after {iterations} "
        "iterations on pairs and unlabelled photos, whose pseudo-labels a vision-language model "
        "chose."
    )


def commands(call: Call) -> list[tuple[str, str]]:
    """Return pairs of a purpose and its command."""
    network = call.file.parent.parent / "round_1/experiments/demo_round_1/models/net_g_latest.pth"
    output = shlex.quote(str(call.output))
    file = shlex.quote(str(call.file))
    real = f" --real {shlex.quote(str(call.real))}" if call.real else ""
    return [
        (
            "Restore photos with the semi-supervised network",
            f"wxr restore photos/ -o restored/ --checkpoint {shlex.quote(str(network))}",
        ),
        (
            "The demo with your own photos, unsorted or in rain/, haze/ and snow/",
            f"wxr demo -o {output} --real photos/",
        ),
        ("Train longer", f"wxr demo -o {output}{real} --warmup 2000 --iterations 2000"),
        (
            "Judge by another model, which takes no part in training",
            f"wxr demo -o {output}{real} --judge llava-1.5-7b",
        ),
        (
            "See the stages; change the option files next to this one, and run what changed",
            f"wxr wresvlm run -opt {file} --list",
        ),
        ("Rate a folder of photos", "wxr label rate photos/ -o labels.lmdb"),
        (
            "Train the paper's recipe, on a GPU: put the photos where it names them",
            "wxr wresvlm check -opt options/wresvlm/msbdn_160k.yml",
        ),
    ]


def _commands(call: Call) -> str:
    parts = []
    for purpose, command in commands(call):
        parts.append(f'<h3>{escape(purpose)}</h3>\n<pre tabindex="0">{escape(command)}</pre>')
    return "\n".join(parts)
