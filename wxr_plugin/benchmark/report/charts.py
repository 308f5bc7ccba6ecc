"""Charts of the quality in a report: bars of each metric, radar charts over sets, and picks."""

from collections import Counter
from collections.abc import Iterator

from wxr_plugin.benchmark.report.tables import title
from wxr_plugin.benchmark.results import INPUT, Results
from wxr_plugin.benchmark.tables import Cell, Heading, Table
from wxr_plugin.utils.charts import bar_chart, radar_chart, scaled

LEAST_AXES = 3
"""Sets from which on a radar chart says more than bars."""
MOST_SERIES = 8
"""Methods of a chart; more are hard to distinguish."""


def quality_charts(results: Results) -> Iterator[str]:
    """Yield an SVG of bars for each metric, and a radar chart for those on several sets."""
    methods = list(results.methods)[:MOST_SERIES]
    for key, metric in results.metrics.items():
        names = [name for name in results.sets if _is_measured(results, methods, name, key)]
        if not names:
            continue
        values = {}
        for method in methods:
            row = [results.mean(method, name, key).value for name in names]
            values[title(results, method)] = row
        labels = [results.sets[name].title or name for name in names]
        head = metric.title or key
        better = {"higher": "higher is better", "lower": "lower is better"}.get(metric.better, "")
        yield bar_chart(labels, values, f"{head}, {better}" if better else head)
        if len(names) >= LEAST_AXES and len(methods) > 1:
            mapped = scaled(values, metric.better == "lower")
            yield radar_chart(labels, mapped, f"{head}: best outside, worst inside, of each set")


def picks_table(results: Results) -> Table:
    """Return how often each metric without ground truth picks each method, in percent of photos.

    The selector of the WResVLM slides: the candidate that a metric rates best is its pick. Photos
    that not every method has are left out.
    """
    metrics = []
    for key, metric in results.metrics.items():
        if metric.of == "image" and not metric.needs_gt:
            metrics.append(key)
    counts = {key: _picks(results, key) for key in metrics}
    metrics = [key for key in metrics if counts[key]]
    headings = [Heading(results.metrics[key].title or key) for key in metrics]
    rows = []
    for method in results.methods if metrics else ():
        cells = []
        for key in metrics:
            share = counts[key][method] / counts[key].total()
            cells.append(Cell(f"{share:.0%}"))
        rows.append((title(results, method), cells))
    notes = ["Photos that not every method has are left out."]
    head = "Picks: share of photos on which a metric rates the method best"
    return Table(head, headings, rows, notes=notes)


def _picks(results: Results, key: str) -> Counter[str]:
    """Return how often each method has the best value of a metric."""
    sign = -1 if results.metrics[key].better == "lower" else 1
    scores: dict[tuple[str, str], dict[str, float]] = {}
    for row in results.rows:
        value = row.scores[key]
        if value == value:  # not NaN
            scores.setdefault((row.set, row.image), {})[row.method] = sign * value
    picks: Counter[str] = Counter()
    for by_method in scores.values():
        if len(by_method) == len(results.methods) and len(by_method) > 1:
            # Of equal values a method's counts before the input's: max returns the first.
            order = sorted(by_method, key=lambda name: name == INPUT)
            picks[max(order, key=by_method.__getitem__)] += 1
    return picks


def _is_measured(results: Results, methods: list[str], name: str, key: str) -> bool:
    return any(results.mean(method, name, key).count for method in methods)
