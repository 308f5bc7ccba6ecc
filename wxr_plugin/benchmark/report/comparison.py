"""Published figures next to those of a benchmark."""

from collections.abc import Iterator

from wxr_plugin.benchmark.published import Figure, published
from wxr_plugin.benchmark.tables import Cell, Table, figure_text


def side_by_side(table: Table) -> Table:
    """Return the part of a table that has published figures, with these and the differences.

    Below each row of ours stands one of published figures and one of the differences. The result
    has no rows if nothing in `table` was published.
    """
    places = [
        place
        for place in range(len(table.columns))
        if any(cells[place].published for _, cells in table.rows)
    ]
    rows = []
    for name, cells in table.rows:
        compared = [cells[place] for place in places]
        if any(cell.published for cell in compared):
            rows += _three_rows(name, compared)
    columns = [table.columns[place] for place in places]
    title = f"{table.title}: with published figures"
    return Table(title, columns, rows, list(_groups(table, places)))


def _three_rows(name: str, cells: list[Cell]) -> list[tuple[str, list[Cell]]]:
    """Return rows of our figures without their ranks, of published figures and of differences."""
    ours = [Cell(cell.text, worse=cell.worse, partial=cell.partial) for cell in cells]
    theirs, differences = [], []
    for cell in cells:
        figure = cell.published
        theirs.append(Cell(figure_text(figure.value, figure.digits)) if figure else Cell())
        differences.append(Cell(cell.difference) if figure else Cell())
    return [(name, ours), ("– published", theirs), ("– difference", differences)]


def comparable(quality: list[Table]) -> list[str]:
    """Return notes on how far the published figures in `quality` can be compared, and their papers.

    They name other numbers of images, other versions of a method, and doubtful figures.
    """
    tables = published()
    cells = [cell for table in quality for _, row in table.rows for cell in row if cell.published]
    figures = list(dict.fromkeys(cell.published for cell in cells))
    notes = [tables.methods[name].note for name in _methods(figures) if name in tables.methods]
    notes += _method_notes(figures)
    notes += [tables.tables[figure.table].notes for figure in figures]
    notes += _doubts(figures)
    papers = [f"{figure.paper}: {tables.papers[figure.paper]}" for figure in figures]
    texts = dict.fromkeys([*_unlike(cells), *notes, *papers])
    return [f"{text[:1].upper()}{text[1:].rstrip('.')}." for text in texts if text]


def _methods(figures: list[Figure]) -> list[str]:
    return [figure.method for figure in figures]


def _unlike(cells: list[Cell]) -> list[str]:
    """Return a note on the sets whose published figures are means of other numbers of images."""
    counts = {}
    for cell in cells:
        figure = cell.published
        if figure.count and cell.count and figure.count != cell.count:
            counts[figure.set] = f"{figure.set}: {cell.count:,} images here, {figure.count:,} there"
    if not counts:
        return []
    return [f"Not the same images, so not the same figure: {'; '.join(counts.values())}"]


def _method_notes(figures: list[Figure]) -> Iterator[str]:
    for figure in figures:
        note = published().tables[figure.table].method_notes.get(figure.method)
        if note:
            yield f"{figure.method} on {figure.set}: {note}"


def _doubts(figures: list[Figure]) -> Iterator[str]:
    for figure in figures:
        key = figure.method, figure.set, figure.metric
        for doubt in published().tables[figure.table].doubtful:
            if (doubt.method, doubt.set, doubt.metric) == key:
                yield f"doubtful: {figure.metric} of {figure.method} on {figure.set}, {doubt.note}"


def _groups(table: Table, places: list[int]) -> Iterator[tuple[str, int]]:
    """Yield the groups of the columns at `places`, with the number of these that each spans."""
    start = 0
    for name, span in table.groups:
        count = sum(start <= place < start + span for place in places)
        if count:
            yield name, count
        start += span
