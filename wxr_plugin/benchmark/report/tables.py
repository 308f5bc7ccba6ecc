"""The table of costs, and published tables in the form of ours."""

from collections.abc import Iterator

from wxr_plugin.benchmark.published import PublishedTable, plain, published
from wxr_plugin.benchmark.results import INPUT, Results
from wxr_plugin.benchmark.tables import NONE, Cell, Heading, Table, figure_text, rank


def cost_table(results: Results) -> Table:
    """Return parameters, MACs, time and memory of each method that runs a network."""
    columns = [
        "Parameters (M)",
        "MACs (G per megapixel)",
        "Seconds per megapixel",
        "Peak memory (MiB)",
    ]
    rows = []
    for name in results.methods:
        if name != INPUT:
            rows.append((title(results, name), _costs(results, name)))
    notes = ["Time is that of the network alone, over all photos, without reading and writing."]
    if results.facts.device:
        notes.append(f"Measured on {results.facts.device}.")
    headings = [Heading(name) for name in columns]
    return Table("Cost", headings, rows, notes=notes)


def _costs(results: Results, name: str) -> list[Cell]:
    method = results.methods[name]
    seconds = results.seconds_per_megapixel(name)
    # Fast methods differ only in later digits.
    digits = 2 if seconds >= 1 else 4
    texts = [
        _in_units(method.parameters, 1e6, 2),
        _in_units(method.macs_per_megapixel, 1e9, 1),
        figure_text(seconds, digits),
        figure_text(results.peak_mib(name), 0),
    ]
    return [Cell(text) for text in texts]


def _in_units(count: float | None, unit: float, digits: int) -> str:
    if count is None:
        return NONE
    return figure_text(count / unit, digits)


def published_tables(results: Results) -> Iterator[Table]:
    """Yield each published table that has a set of this benchmark, with all its rows."""
    ours = {plain(name) for key in results.sets for name in names_of(results, key)}
    for table in published().tables.values():
        theirs = set().union(*published().names(table))
        if ours & theirs:
            yield as_printed(table)


def as_printed(table: PublishedTable) -> Table:
    """Return a published table in the form of ours, with ranks and notes."""
    # One column for each metric of each set: the metrics repeat from set to set.
    names = list(table.metrics) * len(table.sets)
    metrics = [published().metrics[name] for name in names]
    columns = [Heading(name, metric.better) for name, metric in zip(names, metrics)]
    result = Table(table.title, columns, rows=[], notes=list(_notes(table)))
    for name in table.sets:
        known_set = published().sets[name]
        label = counted(known_set.title, known_set.count)
        result.groups.append((label, len(table.metrics)))
    rows = []  # the figures of each method, those of all sets in one list
    for name, by_set in table.rows.items():
        values = []
        for figures in by_set:
            values += figures
        cells = []
        for value, metric in zip(values, metrics):
            text = figure_text(value, metric.digits)
            cells.append(Cell(text))
        rows.append(values)
        result.rows.append((name, cells))
    for place, (heading, metric) in enumerate(zip(columns, metrics)):
        cells = [row[place] for _, row in result.rows]
        figures = [values[place] for values in rows]
        rank(cells, figures, heading, metric.digits)
    return result


def _notes(table: PublishedTable) -> Iterator[str]:
    yield published().papers[table.paper] + "."
    if table.notes:
        yield table.notes
    for method, note in table.method_notes.items():
        yield f"{method}: {note}."
    for doubt in table.doubtful:
        figure = f"{doubt.metric} of {doubt.method} on {doubt.set}"
        yield f"Doubtful: {figure}, {doubt.note}."


def title(results: Results, method: str) -> str:
    """Return the title of a method, its name if it has none."""
    return results.methods[method].title or method


def counted(label: str, count: int | None) -> str:
    """Return `label` with a number of images, if that is known."""
    return f"{label} ({count:,})" if count else label


def names_of(results: Results, name: str) -> list[str]:
    """Return the names under which a published table may have a set."""
    return [name, results.sets[name].title]
