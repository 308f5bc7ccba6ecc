"""Published figures beside ours."""

from collections.abc import Iterator

from wxr_plugin.benchmark.published import Figure, published
from wxr_plugin.benchmark.tables import Cell, Table, figure_text


def side_by_side(table: Table) -> Table:
    """The columns and rows of a table of ours that have published figures, each with these and the differences below.

    Without rows where there are none.
    """
    kept = [
        place
        for place in range(len(table.columns))
        if any(cells[place].published for _, cells in table.rows)
    ]
    rows = []
    for name, cells in table.rows:
        shown = [cells[place] for place in kept]
        if any(cell.published for cell in shown):
            rows.append(
                (name, [Cell(cell.text, worse=cell.worse, partial=cell.partial) for cell in shown])
            )
            rows.append(
                (
                    "– published",
                    [
                        Cell(_printed(cell.published)) if cell.published else Cell()
                        for cell in shown
                    ],
                )
            )
            rows.append(
                (
                    "– difference",
                    [Cell(cell.difference) if cell.published else Cell() for cell in shown],
                )
            )
    columns = [table.columns[place] for place in kept]
    return Table(
        f"{table.title}: beside published figures", columns, rows, list(_groups(table, kept))
    )


def comparable(quality: list[Table]) -> list[str]:
    """What to know of the published figures beside those of `quality`: other images, other versions, and the papers."""
    known = published()
    cells = [cell for table in quality for _, row in table.rows for cell in row if cell.published]
    figures = list(dict.fromkeys(cell.published for cell in cells))
    counts = {
        each.set: f"{each.set}: {cell.count:,} images here, {each.count:,} there"
        for cell, each in ((cell, cell.published) for cell in cells)
        if each.count and cell.count and each.count != cell.count
    }
    notes = [known.methods[each.method].note for each in figures if each.method in known.methods]
    told = [
        *notes,
        *_method_notes(figures),
        *(known.tables[each.table].notes for each in figures),
        *_doubts(figures),
    ]
    papers = [f"{each.paper}: {known.papers[each.paper]}" for each in figures]
    unlike = (
        [f"Not the same images, so not the same figure: {'; '.join(counts.values())}"]
        if counts
        else []
    )
    return [
        f"{text[:1].upper()}{text[1:].rstrip('.')}."
        for text in dict.fromkeys([*unlike, *told, *papers])
        if text
    ]


def _method_notes(figures: list[Figure]) -> Iterator[str]:
    for figure in figures:
        note = published().tables[figure.table].method_notes.get(figure.method)
        if note:
            yield f"{figure.method} on {figure.set}: {note}"


def _doubts(figures: list[Figure]) -> Iterator[str]:
    for each in figures:
        for doubt in published().tables[each.table].doubtful:
            if (doubt.method, doubt.set, doubt.metric) == (each.method, each.set, each.metric):
                yield f"doubtful: {each.metric} of {each.method} on {each.set}, {doubt.note}"


def _groups(table: Table, kept: list[int]) -> Iterator[tuple[str, int]]:
    start = 0
    for name, span in table.groups:
        if count := sum(start <= place < start + span for place in kept):
            yield name, count
        start += span


def _printed(figure: Figure) -> str:
    return figure_text(figure.value, figure.digits)
