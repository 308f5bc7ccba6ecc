"""Tables of a run, read from its folders: votes, gates, prompts and times."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

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
        if file.is_file():
            header, *rows = read_csv(file)
            votes[stage] = header, [list(map(_short, row)) for row in rows]
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
    rows = []
    for stage in (stage for stage in stages if stage.split("_")[0] == "prompts"):
        result = json.loads((settings.folder(stage) / "accuracy.json").read_text())
        accuracy = [result["accuracy"].get(name, math.nan) for name in (*WEATHERS, ALL)]
        shares = [f"{share:.1%}" for share in accuracy]
        rows.append([stage, *shares, str(result["held_out"]), str(result["restored"])])
    return ["prompts", *WEATHERS, ALL, "held out", "restored photos learnt from"], rows


def times(settings: Settings, stages: Sequence[str]) -> Table:
    """Return the duration of each stage."""
    rows = []
    for stage in stages:
        if record := records.read(settings.folder(stage)):
            seconds = f"{record.seconds:.0f} s"
            rows.append([stage, seconds, str(record.attempts)])
    return ["stage", "time of the last attempt", "attempts"], rows


def _counts(experiment: Path) -> list[str]:
    """Return how many images were rated and accepted in all, and the share of these."""
    entries = gate_counts(experiment)
    if not entries:
        return ["-", "-", "-"]
    total = entries[-1]
    share = f"{total.accepted / total.rated:.1%}" if total.rated else "-"
    return [str(total.rated), str(total.accepted), share]


def _labels(store: Path) -> list[str]:
    with LabelStore(store, readonly=True) as labels:
        index = labels.pseudo_index().values()
    teacher = sum(label.source.startswith("teacher") for label in index)
    mean = f"{fmean(label.rating for label in index):.2f}" if index else "-"
    return [str(len(index)), str(teacher), mean]


def _short(cell: str) -> str:
    return f"{float(cell):.3f}" if re.fullmatch(r"\d+\.\d+", cell) else cell
