"""The report as a page, and its figures as a CSV file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from wxr_plugin.benchmark.report.page import Section, page, titled_tables
from wxr_plugin.benchmark.report.viewer import viewer
from wxr_plugin.benchmark.tables import Cell, Heading
from wxr_plugin.benchmark.tables import Table as PageTable
from wxr_plugin.utils.csv_text import to_csv
from wxr_plugin.utils.files import write_text
from wxr_plugin.utils.html import WORSE, WORSE_NOTE, escape
from wxr_plugin.vlm.registries import same_answers, same_model
from wxr_plugin.wresvlm.report import curves, decisions, measuring, photos, scores, tables
from wxr_plugin.wresvlm.report.measuring import VIS, Row
from wxr_plugin.wresvlm.report.scores import Scores, Table
from wxr_plugin.wresvlm.settings import Settings

NONE = "<p>None.</p>"
RANKS = (
    "<p>Means over the photos of each weather; “overall” is the unweighted mean over rain, haze "
    "and snow. “input” is the photo as it is. Best in <b>bold</b>, second <u>underlined</u>; "
    f'<span class="worse">{WORSE}</span> worse than the input.</p>'
)
NO_DECISIONS = (
    "<p>None were kept; <code>train.rating.examples</code> in the training file keeps some.</p>"
)
CURVES = (
    "<p>From train_log.jsonl of each training; each point is of one batch, or the mean of several. "
    "Losses on real photos are weighted as in training. “Accepted” is the share of the teacher’s "
    "images, since the point before, that became a pseudo-label.</p>"
)
GATES = (
    "<p>“rated”: images that the rater rated. “accepted”: images of the teacher that became a "
    "pseudo-label. “labels”: pseudo-labels at the end of the round; “from the teacher”: those of "
    "the teacher of this or an earlier round.</p>"
)


def report(settings: Settings, folder: Path, stages: Sequence[str]) -> None:
    """Measure the networks of `stages`; write page, table and the figures of each photo."""
    networks = measuring.steps(settings, stages)
    rows = measuring.measure(settings, networks)
    text = json.dumps(rows, indent=1)
    write_text(folder / "photos.json", text)
    write(settings, folder, stages, rows)


def write(settings: Settings, folder: Path, stages: Sequence[str], rows: Sequence[Row]) -> None:
    """Write index.html and table.csv into `folder`, and print the tables of scores."""
    measures = [*_of_photos(settings, rows), *scores.of_validation(settings, stages)]
    _print_scores(measures, settings.options.report.titles)
    note = judge_note(settings)
    if note:
        print(f"\n{note}")
    write_text(folder / "table.csv", _csv(measures))
    title = f"WResVLM: {settings.options.name}"
    html = page(title, summary(settings, stages), sections(settings, stages, rows))
    write_text(folder / "index.html", html)


def _of_photos(settings: Settings, rows: Sequence[Row]) -> list[Scores]:
    """Return the measures of the real photos."""
    return scores.of_photos(rows, settings.options.report.metrics)


def _print_scores(measures: Sequence[Scores], titles: Mapping[str, str]) -> None:
    """Print a table for each measure, then a note on the mark of worse cells if there are any."""
    has_worse = False
    for measure in measures:
        table = measure.table(titles)
        print()
        scores.print_figures(table)
        for _, cells in table.rows:
            has_worse |= any(cell.worse for cell in cells)
    if has_worse:
        print(f"\n{WORSE_NOTE}")


def judge_note(settings: Settings) -> str:
    """Return a warning for each rater behind VLM-Vis that took part in training; empty without."""
    notes = [_note_of(settings, name) for name in settings.options.report.judges]
    return " ".join(note for note in notes if note)


def _note_of(settings: Settings, name: str) -> str:
    """Return a warning if the rater `name` took part in training; empty if it did not."""
    options = settings.options
    judge = options.raters[name]
    # The rater of each round, then those that vote between the rounds; each of them once.
    of_rounds = [stage.rater for stage in options.rounds]
    in_training = dict.fromkeys([*of_rounds, *options.panel])
    same, alike = [], []
    for rater in in_training:
        opt = options.raters[rater]
        if same_answers("rater", judge, opt):
            same.append(rater)
        if same_model("rater", judge, opt):
            alike.append(rater)
    if same:
        return (
            f"Warning: the rater behind {VIS} ({name}) took part in training ({', '.join(same)}), "
            "so it is not an independent judge; name another one under report.rater."
        )
    if alike:
        return (
            f"Warning: the rater behind {VIS} ({name}) is the model of {', '.join(alike)}, which "
            "took part in training, with another question: hardly an independent judge."
        )
    return ""


def sections(settings: Settings, stages: Sequence[str], rows: Sequence[Row]) -> list[Section]:
    """Return the sections of the page."""
    return list(_sections(settings, stages, rows))


def _sections(settings: Settings, stages: Sequence[str], rows: Sequence[Row]) -> Iterator[Section]:
    titles = settings.options.report.titles
    photo_viewer = _viewer(settings, stages, rows)
    yield Section("Photos", "Photos, stage by stage", photo_viewer)
    rater_note = escape(_rater_line(settings))
    real = _scores(_of_photos(settings, rows), titles)
    yield Section("Scores", "Real photos, by stage", f"{RANKS}\n<p>{rater_note}</p>\n{real}")
    held_out = scores.of_validation(settings, stages)
    yield Section("Validation", "Validation, by stage", _scores(held_out, titles))
    decided = decisions.section(settings, stages) or NO_DECISIONS
    yield Section("Labels", "Pseudo-labels, accepted and refused", decided)
    charts = "".join(curves.charts(settings, stages))
    drawn = f'<div class="charts">{charts}</div>\n{CURVES}' if charts else NONE
    yield Section("Curves", "Loss, rating and gate", drawn)
    gate_table = tables.gates(settings, stages)
    gates = _text_tables({"How often the gate opened": gate_table})
    yield Section("Gate", "Pseudo-labels from the teacher", f"{gates}\n{GATES}")
    votes = _text_tables(tables.winners(settings, stages))
    yield Section("Votes", "Votes of the panel", votes)
    accuracy_table = tables.accuracies(settings, stages)
    accuracies = _text_tables({"Held-out accuracy": accuracy_table})
    yield Section("Prompts", "Weather prompts", accuracies)
    time_table = tables.times(settings, stages)
    yield Section("Time", "Time", _text_tables({"Stages": time_table}))


def _viewer(settings: Settings, stages: Sequence[str], rows: Sequence[Row]) -> str:
    data = photos.viewer_data(settings, stages, rows)
    if not data["sets"]:
        return NONE
    count = sum(len(photo_set["images"]) for photo_set in data["sets"])
    note = (
        f"{count} of {len(rows)} measured photos, at most {photos.SIDE} pixels long, as lossy WebP."
    )
    sources = [name for name, _ in data["sources"]]
    if measuring.TRUTH in sources:
        note += f" “{_title(settings, measuring.TRUTH)}”: no training saw it."
    if photos.LABELS in sources:
        stage = photos.label_stage(settings, stages)
        note += (
            f" “{_title(settings, photos.LABELS)}” are those at the end of {stage}: crops at their "
            "places, over the pseudo-label of the whole photo if there is one, else over the "
            "darkened photo."
        )
    return viewer(data, note)


def _title(settings: Settings, source: str) -> str:
    return settings.options.report.titles.get(source, source)


def summary(settings: Settings, stages: Sequence[str]) -> str:
    """Return the run in a line: its rounds, its panel, and how many rounds are done."""
    options = settings.options
    rounds = []
    for opt in options.rounds:
        rounds.append(f"{opt.iterations} iterations with {opt.rater}")
    noun = "rounds" if len(rounds) > 1 else "round"
    panel = ", ".join(options.panel)
    text = f"{len(rounds)} {noun}: {', '.join(rounds)}. Panel: {panel}."
    done = sum(stage.startswith("round_") for stage in stages)
    if done < len(rounds):
        text += f" {done} of {len(rounds)} rounds are done so far."
    return text


def _rater_line(settings: Settings) -> str:
    judges = settings.options.report.judges
    if not judges:
        return ""
    names = [f"{measuring.vis_of(settings, name)}: {name}" for name in judges]
    return f"{VIS} is (rating - 1) / 4 of a rater ({'; '.join(names)}). {judge_note(settings)}"


def _scores(measures: Sequence[Scores], titles: Mapping[str, str]) -> str:
    page_tables = [measure.table(titles) for measure in measures]
    return titled_tables(page_tables) or NONE


def _text_tables(named: dict[str, Table]) -> str:
    page_tables = [_page_table(title, table) for title, table in named.items()]
    return titled_tables(page_tables) or NONE


def _page_table(title: str, table: Table) -> PageTable:
    """Return a table of texts for the page; its first column names the rows."""
    (corner, *columns), rows = table
    headings = [Heading(name) for name in columns]
    named_rows = []
    for name, *texts in rows:
        cells = [Cell(text) for text in texts]
        named_rows.append((name, cells))
    return PageTable(title, headings, named_rows, corner=corner)


def _csv(measures: Sequence[Scores]) -> str:
    header = ["measure", "stage", "weather", "value"]
    # One row a number, so that the table does not change with the weathers of the photos.
    rows = []
    for measure in measures:
        for step, values in measure.values.items():
            for weather, value in values.items():
                rows.append([measure.title, step, weather, value])
    return to_csv(header, rows)
