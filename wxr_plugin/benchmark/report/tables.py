"""What methods take, and published tables in the form of ours."""

import math
from collections.abc import Iterator

from wxr_plugin.benchmark.published import PublishedTable, plain, published
from wxr_plugin.benchmark.results import INPUT, Results
from wxr_plugin.benchmark.tables import Cell, Heading, Table, figure_text, rank


def cost_table(results: Results) -> Table:
    """What each method takes."""
    columns = [
        "Parameters (M)",
        "MACs (G per megapixel)",
        "Seconds per megapixel",
        "Peak memory (MiB)",
    ]
    rows = []
    for name, method in results.methods.items():
        seconds, peak = results.seconds_per_megapixel(name), results.peak_mib(name)
        counts = [(method.parameters, 1e6, 2), (method.macs_per_megapixel, 1e9, 1)]
        cells = [
            figure_text(math.nan if value is None else value / unit, digits)
            for value, unit, digits in counts
        ]
        cells += [figure_text(seconds, 2 if seconds >= 1 else 4), figure_text(peak, 0)]
        if name != INPUT:
            rows.append((title(results, name), [Cell(text) for text in cells]))
    notes = [
        "Time is that of the network alone, over all photos; reading and writing files are not in "
        "it."
    ]
    device = [f"Measured on {results.facts.device}."] if results.facts.device else []
    return Table("Cost", [Heading(name) for name in columns], rows, notes=[*notes, *device])


def published_tables(results: Results) -> Iterator[Table]:
    """The published tables, whole, that have a set of this benchmark."""
    known = published()
    ours = {plain(name) for key in results.sets for name in names_of(results, key)}
    yield from (
        as_printed(table)
        for table in known.tables.values()
        if any(map(ours.intersection, known.names(table)))
    )


def as_printed(table: PublishedTable) -> Table:
    """A published table in the form of ours."""
    known = published()
    columns = [
        Heading(name, known.metrics[name].better) for _ in table.sets for name in table.metrics
    ]
    digits = [known.metrics[name].digits for _ in table.sets for name in table.metrics]
    flat = {
        name: [value for figures in row for value in figures] for name, row in table.rows.items()
    }
    rows = [
        (name, [Cell(figure_text(*each)) for each in zip(row, digits)])
        for name, row in flat.items()
    ]
    for place, heading in enumerate(columns):
        rank(
            [cells[place] for _, cells in rows],
            [row[place] for row in flat.values()],
            heading,
            digits[place],
        )
    groups = [
        (counted(known.sets[name].title, known.sets[name].count), len(table.metrics))
        for name in table.sets
    ]
    doubts = [
        f"Doubtful: {each.metric} of {each.method} on {each.set}, {each.note}."
        for each in table.doubtful
    ]
    method_notes = [f"{method}: {note}." for method, note in table.method_notes.items()]
    notes = [known.papers[table.paper] + ".", *_some(table.notes), *method_notes, *doubts]
    return Table(table.title, columns, rows, groups, notes)


def title(results: Results, method: str) -> str:
    """What a method is called."""
    return results.methods[method].title or method


def counted(label: str, count: int | None) -> str:
    """A label with a number of images."""
    return f"{label} ({count:,})" if count else label


def names_of(results: Results, name: str) -> list[str]:
    """The names that a set may have in a published table."""
    return [name, results.sets[name].title]


def _some(text: str) -> list[str]:
    return [text] if text else []
