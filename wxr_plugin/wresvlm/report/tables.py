"""Tables of a run, read from its folders: votes, gates, prompts and times."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.labels.store import LabelStore
from wxr_plugin.utils.csv_text import read_csv
from wxr_plugin.wresvlm import records
from wxr_plugin.wresvlm.report.scores import ALL, Table
from wxr_plugin.wresvlm.settings import Settings

_COUNT = r"{}: ([-+.e\d]+)"


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
            log = _log(settings.experiment(stage))
            rated, accepted = (_last(log, name) for name in ("rated", "accepted"))
            share = f"{accepted / rated:.1%}" if rated else "-"
            rows.append(
                [
                    stage,
                    options.rater,
                    _count(rated),
                    _count(accepted),
                    share,
                    *_labels(settings.labels(stage)),
                ]
            )
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


def _log(experiment: Path) -> str:
    files = sorted(experiment.glob("train_*.log"), key=lambda file: file.stat().st_mtime)
    return "".join(file.read_text(encoding="utf-8", errors="replace") for file in files)


def _last(log: str, name: str) -> float:
    found = re.findall(rf"\b{_COUNT.format(name)}", log)
    return float(found[-1]) if found else 0.0


def _labels(store: Path) -> list[str]:
    with LabelStore(store, readonly=True) as labels:
        index = labels.pseudo_index().values()
    teacher = sum(label.source.startswith("teacher") for label in index)
    mean = f"{fmean(label.rating for label in index):.2f}" if index else "-"
    return [str(len(index)), str(teacher), mean]


def _count(value: float) -> str:
    return f"{value:.0f}"


def _short(cell: str) -> str:
    return f"{float(cell):.3f}" if re.fullmatch(r"\d+\.\d+", cell) else cell
