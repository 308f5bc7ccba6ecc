"""Published figures next to those of a benchmark."""

from collections.abc import Iterator

from wxr_plugin.benchmark.published import Figure, published
from wxr_plugin.benchmark.tables import Cell, Table, figure_text


def side_by_side(table: Table) -> Table:
    """Return the part of a table that has published figures, with these and the differences.

    Below each row of ours stands one of published figures and one of the differences. The result
    has no rows if nothing in `table` was published.
    """
    places = set()
    for _, cells in table.rows:
        places |= {place for place, cell in enumerate(cells) if cell.published}
    order = sorted(places)
    rows = []
    for name, cells in table.rows:
        compared = [cells[place] for place in order]
        if any(cell.published for cell in compared):
            rows += _three_rows(name, compared)
    return Table(
        title=f"{table.title}: with published figures",
        columns=[table.columns[place] for place in order],
        rows=rows,
        groups=list(_groups(table, order)),
    )


def _three_rows(name: str, cells: list[Cell]) -> list[tuple[str, list[Cell]]]:
    """Return rows of our figures without their ranks, of published figures and of differences."""
    ours, theirs, differences = [], [], []
    for cell in cells:
        our_cell = Cell(cell.text, worse=cell.worse, partial=cell.partial)
        their_cell = Cell()
        difference_cell = Cell()
        figure = cell.published
        if figure:
            their_cell.text = figure_text(figure.value, figure.digits)
            difference_cell.text = cell.difference
        ours.append(our_cell)
        theirs.append(their_cell)
        differences.append(difference_cell)
    return [
        (name, ours),
        ("– published", theirs),
        ("– difference", differences),
    ]


def comparable(quality: list[Table]) -> list[str]:
    """Return notes on how far the published figures in `quality` can be compared, and their papers.

    They name other numbers of images, other versions of a method, and doubtful figures.
    """
    rows = [cells for table in quality for _, cells in table.rows]
    cells = [cell for row in rows for cell in row if cell.published]
    # Two methods may be compared with the same figure.
    figures = list(dict.fromkeys(cell.published for cell in cells))
    texts = [
        *_unlike(cells),
        *_general_notes(figures),
        *_method_notes(figures),
        *_table_notes(figures),
        *_doubts(figures),
        *_papers(figures),
    ]
    # Many figures share their notes.
    return [_sentence(text) for text in dict.fromkeys(texts) if text]


def _sentence(text: str) -> str:
    first, rest = text[:1], text[1:]
    return first.upper() + rest.rstrip(".") + "."


def _general_notes(figures: list[Figure]) -> Iterator[str]:
    methods = published().methods
    for figure in figures:
        if figure.method in methods:
            yield methods[figure.method].note


def _table_notes(figures: list[Figure]) -> Iterator[str]:
    for figure in figures:
        yield published().tables[figure.table].notes


def _papers(figures: list[Figure]) -> Iterator[str]:
    for figure in figures:
        yield f"{figure.paper}: {published().papers[figure.paper]}"


def _unlike(cells: list[Cell]) -> list[str]:
    """Return a note on the sets whose published figures are means of other numbers of images."""
    counts = {}
    for cell in cells:
        figure = cell.published
        here = cell.count
        there = figure.count
        # An average has no number of its own, and not every paper states one.
        if here and there and here != there:
            counts[figure.set] = f"{figure.set}: {here:,} images here, {there:,} there"
    if not counts:
        return []
    lines = "; ".join(counts.values())
    return [f"Not the same images, so not the same figure: {lines}"]


def _method_notes(figures: list[Figure]) -> Iterator[str]:
    for figure in figures:
        table = published().tables[figure.table]
        note = table.method_notes.get(figure.method)
        if note:
            yield f"{figure.method} on {figure.set}: {note}"


def _doubts(figures: list[Figure]) -> Iterator[str]:
    for figure in figures:
        key = (figure.method, figure.set, figure.metric)
        table = published().tables[figure.table]
        for doubt in table.doubtful:
            if (doubt.method, doubt.set, doubt.metric) == key:
                label = f"{figure.metric} of {figure.method} on {figure.set}"
                yield f"doubtful: {label}, {doubt.note}"


def _groups(table: Table, places: list[int]) -> Iterator[tuple[str, int]]:
    """Yield the groups of the columns at `places`, with the number of these that each spans."""
    start = 0
    for name, span in table.groups:
        end = start + span
        count = sum(start <= place < end for place in places)
        if count:
            yield name, count
        start = end
