"""Tables of a run, read from its folders: votes, gates, prompts and times."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.labels.store import LabelStore
from wxr_plugin.pseudo_labelling.gate_counts import gate_counts
from wxr_plugin.utils.csv_text import read_csv
from wxr_plugin.wresvlm import records
from wxr_plugin.wresvlm.report.scores import ALL, Table
from wxr_plugin.wresvlm.settings import Settings


def winners(settings: Settings, stages: Sequence[str]) -> dict[str, Table]:
    """Return the table of each vote: how often each method won, by weather."""
    votes = {}
    for stage in stages:
        file = settings.folder(stage) / "winners.csv"
        # Only stages with a vote leave this file.
        if file.is_file():
            header, *rows = read_csv(file)
            short_rows = [list(map(_short, row)) for row in rows]
            votes[stage] = header, short_rows
    return votes


def gates(settings: Settings, stages: Sequence[str]) -> Table:
    """How often the gate opened in each round."""
    header = [
        "round",
        "rater in the loop",
        "rated",
        "accepted",
        "accepted of rated",
        "labels",
        "from the teacher",
        "mean rating",
    ]
    rows = []
    for number, options in enumerate(settings.options.rounds, 1):
        stage = f"round_{number}"
        if stage in stages and settings.uses_labels:
            counts = _counts(settings.experiment(stage))
            rows.append([stage, options.rater, *counts, *_labels(settings.labels(stage))])
    return header, rows


def accuracies(settings: Settings, stages: Sequence[str]) -> Table:
    """Return the held-out accuracy of the prompts each time that they were learnt."""
    header = ["prompts", *WEATHERS, ALL, "held out", "restored photos learnt from"]
    rows = []
    for stage in stages:
        kind = stage.split("_")[0]
        if kind == "prompts":
            file = settings.folder(stage) / "accuracy.json"
            result = json.loads(file.read_text())
            rows.append([stage, *_accuracy_cells(result)])
    return header, rows


def _accuracy_cells(result: Mapping[str, Any]) -> list[str]:
    """Return the accuracy by weather and over all, and the numbers of photos, as texts."""
    cells = []
    for weather in (*WEATHERS, ALL):
        # A weather without held-out photos has no accuracy.
        share = result["accuracy"].get(weather, math.nan)
        cells.append(f"{share:.1%}")
    counts = [result["held_out"], result["restored"]]
    return cells + [str(count) for count in counts]


def times(settings: Settings, stages: Sequence[str]) -> Table:
    """Return the duration of each stage."""
    header = ["stage", "time of the last attempt", "attempts"]
    rows = []
    for stage in stages:
        record = records.read(settings.folder(stage))
        if record:
            seconds = f"{record.seconds:.0f} s"
            rows.append([stage, seconds, str(record.attempts)])
    return header, rows


def _counts(experiment: Path) -> list[str]:
    """Return how many images were rated and accepted in all, and the share of these."""
    entries = gate_counts(experiment)
    if not entries:
        return ["-", "-", "-"]
    # Entries are cumulative, so the last one counts the whole training.
    total = entries[-1]
    share = "-"
    if total.rated:
        share = f"{total.accepted / total.rated:.1%}"
    return [str(total.rated), str(total.accepted), share]


def _labels(store: Path) -> list[str]:
    """Return the number of pseudo-labels, of those from the teacher, and their mean rating."""
    with LabelStore(store, readonly=True) as labels:
        index = labels.pseudo_index().values()
    teacher = sum(label.source.startswith("teacher") for label in index)
    ratings = [label.rating for label in index]
    mean = f"{fmean(ratings):.2f}" if ratings else "-"
    return [str(len(index)), str(teacher), mean]


def _short(cell: str) -> str:
    """Return the text of a cell, with three digits if it is a fraction such as 0.123456."""
    is_fraction = re.fullmatch(r"\d+\.\d+", cell)
    return f"{float(cell):.3f}" if is_fraction else cell
