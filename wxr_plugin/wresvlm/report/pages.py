"""The report as a page, and its figures as a CSV file."""

import json
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from wxr_plugin.data.images.io import read_image
from wxr_plugin.data.real_photos import RealPhotos
from wxr_plugin.utils import html
from wxr_plugin.utils.csv_text import to_csv
from wxr_plugin.utils.files import write_text
from wxr_plugin.vlm.registries import same_answers, same_model
from wxr_plugin.wresvlm.report import measuring, scores, tables
from wxr_plugin.wresvlm.report.measuring import INPUT, VIS, Row, spread
from wxr_plugin.wresvlm.report.scores import Scores, Table
from wxr_plugin.wresvlm.settings import Settings

BODY = resources.files(__package__) / "report.html"


def write(settings: Settings, folder: Path, stages: Sequence[str], rows: Sequence[Row]) -> None:
    """Write index.html and table.csv into `folder`, and print the tables of scores."""
    real = scores.of_photos(rows, settings.options.report.metrics)
    held_out = scores.of_validation(settings, stages)
    for measure in (*real, *held_out):
        print(f"\n{measure.title}\n{html.text_table(*measure.table())}")
    if any(
        html.WORSE in cell
        for measure in (*real, *held_out)
        for row in measure.table()[1]
        for cell in row
    ):
        print(f"\n{html.WORSE_NOTE}")
    if note := judge_note(settings):
        print(f"\n{note}")
    write_text(folder / "table.csv", _csv([*real, *held_out]))
    write_text(folder / "index.html", _page(settings, stages, rows, real, held_out))


def judge_note(settings: Settings) -> str:
    """Return what the reader has to know of the rater behind VLM-Vis; empty if it took no part in training."""
    options = settings.options
    if not options.report.rater:
        return ""
    judge = options.raters[options.report.rater]
    trained_with = {
        **{stage.rater: None for stage in options.rounds},
        **dict.fromkeys(options.panel),
    }
    same = [name for name in trained_with if same_answers("rater", judge, options.raters[name])]
    if same:
        return (
            f"Warning: the rater behind {VIS} ({options.report.rater}) took part in training "
            f"({', '.join(same)}), so "
            "it is not an independent judge; name another one under report.rater."
        )
    alike = [name for name in trained_with if same_model("rater", judge, options.raters[name])]
    if alike:
        return (
            f"Warning: the rater behind {VIS} ({options.report.rater}) is the model of "
            f"{', '.join(alike)}, which took "
            "part in training, with another question: hardly an independent judge."
        )
    return ""


def _page(
    settings: Settings,
    stages: Sequence[str],
    rows: Sequence[Row],
    real: list[Scores],
    held_out: list[Scores],
) -> str:
    options = settings.options
    lengths = ", ".join(
        f"{each.iterations} iterations with {each.rater}" for each in options.rounds
    )
    done = sum(stage.startswith("round_") for stage in stages)
    state = (
        ""
        if done == len(options.rounds)
        else f" {done} of {len(options.rounds)} rounds are done so far."
    )
    return html.page(
        f"WResVLM: {options.name}",
        BODY,
        name=html.escape(options.name),
        summary=html.escape(
            f"{len(options.rounds)} rounds: {lengths}. Panel: {', '.join(options.panel)}.{state}"
        ),
        photos="\n".join(figures(settings, rows)) or "<p>None.</p>",
        real=_scores(real),
        real_note=html.escape(_rater_line(settings)),
        held_out=_scores(held_out),
        gates=_joined([tables.gates(settings, stages)]),
        winners=_titled(tables.winners(settings, stages)),
        prompts=_joined([tables.accuracies(settings, stages)]),
        texts="\n".join(_texts(settings, stages)) or "<p>None.</p>",
        times=_joined([tables.times(settings, stages)]),
    )


def figures(settings: Settings, rows: Sequence[Row]) -> Iterator[str]:
    """A slider a photo, between it and what the last network made of it; weathers in turn."""
    photos = RealPhotos(settings.real)
    for row in spread(rows, settings.options.report.shown):
        last = list(row["files"])[-1]
        ratings = [row["values"].get(step, {}).get(VIS) for step in (INPUT, last)]
        told = f", {VIS} {ratings[0]:.3f} → {ratings[1]:.3f}" if None not in ratings else ""
        after = read_image(row["files"][last])
        yield html.figure(
            row["photo"],
            photos.read(row["photo"]),
            after,
            f"{row['photo']} ({row['weather']}){told}",
        )


def _rater_line(settings: Settings) -> str:
    judge = settings.options.report.rater
    return (
        f"{VIS} is (rating - 1) / 4 of the rater {judge}. {judge_note(settings)}" if judge else ""
    )


def _scores(found: Sequence[Scores]) -> str:
    return _titled({measure.title: measure.table() for measure in found})


def _titled(found: dict[str, Table]) -> str:
    parts = [f"<h3>{html.escape(title)}</h3>\n{_joined([table])}" for title, table in found.items()]
    return "\n".join(parts) or _joined([])


def _texts(settings: Settings, stages: Sequence[str]) -> Iterator[str]:
    for stage, key, before, after in tables.texts(settings, stages, settings.options.report.texts):
        where = f'<span class="soft">{html.escape(f"{key}, {stage}")}</span>'
        yield f"<li>{html.escape(before)}<br>→ {html.escape(after)}<br>{where}</li>"


def _joined(found: list[Table]) -> str:
    """The tables that have rows, each scrolling by itself."""
    shown = [f'<div class="scroll">{html.html_table(*table)}</div>' for table in found if table[1]]
    return "\n".join(shown) or "<p>None.</p>"


def _csv(found: list[Scores]) -> str:
    rows = []
    for measure in found:
        for step, values in measure.values.items():
            rows += [[measure.title, step, weather, value] for weather, value in values.items()]
    return to_csv(["measure", "stage", "weather", "value"], rows)


def report(settings: Settings, folder: Path, stages: Sequence[str]) -> None:
    """Measure the networks of `stages` and write the page, the table and the figures behind them."""
    rows = measuring.measure(settings, measuring.steps(settings, stages))
    write_text(folder / "photos.json", json.dumps(rows, indent=1))
    write(settings, folder, stages, rows)
