"""The report as a page, and its figures as a CSV file."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from wxr_plugin.benchmark.report.page import Section, page, titled_tables
from wxr_plugin.benchmark.report.viewer import viewer
from wxr_plugin.benchmark.tables import Cell, Heading
from wxr_plugin.benchmark.tables import Table as PageTable
from wxr_plugin.utils.csv_text import to_csv
from wxr_plugin.utils.files import write_text
from wxr_plugin.utils.html import WORSE, WORSE_NOTE, escape
from wxr_plugin.vlm.registries import same_answers, same_model
from wxr_plugin.wresvlm.report import measuring, photos, scores, tables
from wxr_plugin.wresvlm.report.measuring import VIS, Row
from wxr_plugin.wresvlm.report.scores import Scores, Table
from wxr_plugin.wresvlm.settings import Settings

NONE = "<p>None.</p>"
RANKS = (
    "<p>Means over the photos of each weather; “overall” is the unweighted mean over rain, haze "
    "and snow. “input” is the photo as it is. Best in <b>bold</b>, second <u>underlined</u>; "
    f'<span class="worse">{WORSE}</span> worse than the input.</p>'
)
GATES = (
    "<p>“rated”: images that the rater rated. “accepted”: images of the teacher that became a "
    "pseudo-label. “labels”: pseudo-labels at the end of the round; “from the teacher”: those of "
    "the teacher of this or an earlier round.</p>"
)


def report(settings: Settings, folder: Path, stages: Sequence[str]) -> None:
    """Measure the networks of `stages`; write page, table and the figures of each photo."""
    rows = measuring.measure(settings, measuring.steps(settings, stages))
    write_text(folder / "photos.json", json.dumps(rows, indent=1))
    write(settings, folder, stages, rows)


def write(settings: Settings, folder: Path, stages: Sequence[str], rows: Sequence[Row]) -> None:
    """Write index.html and table.csv into `folder`, and print the tables of scores."""
    real = scores.of_photos(rows, settings.options.report.metrics)
    held_out = scores.of_validation(settings, stages)
    shown = [measure.table() for measure in (*real, *held_out)]
    for table in shown:
        print(f"\n{table.title}\n{scores.plain_text(table)}")
    rows_of_cells = [cells for table in shown for _, cells in table.rows]
    if any(cell.worse for cells in rows_of_cells for cell in cells):
        print(f"\n{WORSE_NOTE}")
    if note := judge_note(settings):
        print(f"\n{note}")
    write_text(folder / "table.csv", _csv([*real, *held_out]))
    sections = list(_sections(settings, stages, rows, real, held_out))
    title = f"WResVLM: {settings.options.name}"
    write_text(folder / "index.html", page(title, _summary(settings, stages), sections))


def judge_note(settings: Settings) -> str:
    """Return a warning if the rater behind VLM-Vis took part in training; empty if it did not."""
    options = settings.options
    name = options.report.rater
    if not name:
        return ""
    judge = options.raters[name]
    in_training = list(dict.fromkeys([*(stage.rater for stage in options.rounds), *options.panel]))
    same = [rater for rater in in_training if same_answers("rater", judge, options.raters[rater])]
    if same:
        return (
            f"Warning: the rater behind {VIS} ({name}) took part in training ({', '.join(same)}), "
            "so it is not an independent judge; name another one under report.rater."
        )
    alike = [rater for rater in in_training if same_model("rater", judge, options.raters[rater])]
    if alike:
        return (
            f"Warning: the rater behind {VIS} ({name}) is the model of {', '.join(alike)}, which "
            "took part in training, with another question: hardly an independent judge."
        )
    return ""


def _sections(
    settings: Settings,
    stages: Sequence[str],
    rows: Sequence[Row],
    real: Sequence[Scores],
    held_out: Sequence[Scores],
) -> Iterator[Section]:
    yield Section("Photos", "Photos, stage by stage", _viewer(settings, stages, rows))
    note = f"{RANKS}\n<p>{escape(_rater_line(settings))}</p>"
    yield Section("Scores", "Real photos, by stage", f"{note}\n{_scores(real)}")
    yield Section("Validation", "Validation, by stage", _scores(held_out))
    gates = _text_tables({"How often the gate opened": tables.gates(settings, stages)})
    yield Section("Gate", "Pseudo-labels from the teacher", f"{gates}\n{GATES}")
    yield Section("Votes", "Votes of the panel", _text_tables(tables.winners(settings, stages)))
    accuracy = tables.accuracies(settings, stages)
    yield Section("Prompts", "Weather prompts", _text_tables({"Held-out accuracy": accuracy}))
    yield Section("Time", "Time", _text_tables({"Stages": tables.times(settings, stages)}))


def _viewer(settings: Settings, stages: Sequence[str], rows: Sequence[Row]) -> str:
    data = photos.viewer_data(settings, stages, rows)
    if not data["sets"]:
        return NONE
    count = sum(len(by_weather["images"]) for by_weather in data["sets"])
    note = (
        f"{count} of {len(rows)} measured photos, at most {photos.SIDE} pixels long, as lossy WebP."
    )
    if (photos.LABELS, photos.LABELS) in data["sources"]:
        stage = photos.label_stage(settings, stages)
        note += (
            f" “{photos.LABELS}” are those at the end of {stage}: crops at their places, over the "
            "pseudo-label of the whole photo if there is one, else over the darkened photo."
        )
    return viewer(data, note)


def _summary(settings: Settings, stages: Sequence[str]) -> str:
    options = settings.options
    rounds = [f"{opt.iterations} iterations with {opt.rater}" for opt in options.rounds]
    count = f"{len(rounds)} round{'s' if len(rounds) > 1 else ''}"
    text = f"{count}: {', '.join(rounds)}. Panel: {', '.join(options.panel)}."
    done = sum(stage.startswith("round_") for stage in stages)
    if done < len(rounds):
        text += f" {done} of {len(rounds)} rounds are done so far."
    return text


def _rater_line(settings: Settings) -> str:
    judge = settings.options.report.rater
    if not judge:
        return ""
    return f"{VIS} is (rating - 1) / 4 of the rater {judge}. {judge_note(settings)}"


def _scores(measures: Sequence[Scores]) -> str:
    return titled_tables([measure.table() for measure in measures]) or NONE


def _text_tables(named: dict[str, Table]) -> str:
    page_tables = [_page_table(title, table) for title, table in named.items()]
    return titled_tables(page_tables) or NONE


def _page_table(title: str, table: Table) -> PageTable:
    """Return a table of texts for the page; its first column names the rows."""
    (corner, *columns), rows = table
    named_rows = [(name, list(map(Cell, texts))) for name, *texts in rows]
    return PageTable(title, [Heading(name) for name in columns], named_rows, corner=corner)


def _csv(measures: Sequence[Scores]) -> str:
    rows = []
    for measure in measures:
        for step, values in measure.values.items():
            rows += [[measure.title, step, weather, value] for weather, value in values.items()]
    return to_csv(["measure", "stage", "weather", "value"], rows)
