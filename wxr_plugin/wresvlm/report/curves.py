"""Curves of a run's trainings: losses, the mean rating of pseudo-labels, and the gate."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from wxr_plugin.benchmark.report.lines import Point, line_chart
from wxr_plugin.models.base import train_log
from wxr_plugin.models.base.train_log import Figures
from wxr_plugin.wresvlm.settings import Settings

PAIRED = ("l_sup", "l_pix")
"""Loss on pairs, in a round and in supervised training."""
NAMES = {
    "l_ps": "L_ps, pseudo-labels",
    "l_wpl": "L_wpl, weather prompts",
    "l_sem": "L_sem, descriptions",
    "l_feat": "L_feat, features",
}
"""Weighted losses on real photos, and their titles."""
Logs = Mapping[str, Mapping[int, Figures]]
"""Title of a training -> iteration -> figures of its log."""


def charts(settings: Settings, stages: Sequence[str]) -> list[str]:
    """Return a chart of each kind as HTML, without those that have no figures."""
    titles = settings.options.report.titles
    logs = {}
    for stage in stages:
        if stage == "supervised" or stage.startswith("round_"):
            logs[titles.get(stage, stage)] = train_log.read(settings.experiment(stage))
    paired = {title: _first_of(log, PAIRED) for title, log in logs.items()}
    ratings = {title: _line(log, "rating") for title, log in logs.items()}
    shares = {title: accepted_shares(log) for title, log in logs.items()}
    drawn = [
        line_chart(paired, "loss on pairs"),
        line_chart(_unpaired(logs), "losses on real photos"),
        line_chart(ratings, "mean rating of pseudo-labels"),
        line_chart(shares, "accepted candidates in %"),
    ]
    return [chart for chart in drawn if chart]


def accepted_shares(log: Mapping[int, Figures]) -> list[Point]:
    """Return the share of the teacher's images that the gate accepted, in percent.

    Each point is of the iterations since the log line before it; those without a comparison have
    none.
    """
    # Counts are totals since the start of the training.
    totals = [(0, 0.0, 0.0)]
    for iteration, figures in log.items():
        if "compared" in figures:
            totals.append((iteration, figures["accepted"], figures["compared"]))
    points = []
    for (_, accepted, compared), (iteration, more_accepted, more_compared) in pairwise(totals):
        if more_compared > compared:
            share = (more_accepted - accepted) / (more_compared - compared)
            points.append((iteration, 100 * share))
    return points


def _unpaired(logs: Logs) -> dict[str, list[Point]]:
    """Return a line for each loss on real photos of each training."""
    lines = {}
    for title, log in logs.items():
        for name, loss_title in NAMES.items():
            lines[f"{title}: {loss_title}"] = _line(log, name)
    return lines


def _first_of(log: Mapping[int, Figures], names: Sequence[str]) -> list[Point]:
    """Return the line of the first of the figures that the log has."""
    for name in names:
        line = _line(log, name)
        if line:
            return line
    return []


def _line(log: Mapping[int, Figures], name: str) -> list[Point]:
    return [(iteration, figures[name]) for iteration, figures in log.items() if name in figures]
