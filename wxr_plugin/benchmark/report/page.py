"""Pages of sections and tables: a benchmark's, a run's of WResVLM and the demo's."""

from collections.abc import Iterator, Sequence
from importlib import resources
from typing import NamedTuple

from wxr_plugin.benchmark.tables import Cell, Table
from wxr_plugin.utils import html
from wxr_plugin.utils.html import WORSE, escape

_HERE = resources.files(__package__)
BODY = _HERE / "report.html"
STYLE = _HERE / "report.css"


class Section(NamedTuple):
    """A part of a page."""

    link: str
    """Its name at the top of the page; in lower case its anchor."""
    title: str
    body: str
    """HTML."""


def page(name: str, summary: str, sections: Sequence[Section], notes: str = "") -> str:
    """Return a whole page: one file that needs no other.

    Args:
        name: title, plain text.
        summary: the line below it, plain text.
        sections: parts of the page, in order; the page links each of them at its top.
        notes: HTML below the links.
    """
    links = []
    parts = []
    for section in sections:
        anchor = section.link.lower()
        links.append(f'<a href="#{anchor}">{escape(section.link)}</a>')
        heading = f'<h2 id="{anchor}">{escape(section.title)}</h2>'
        parts.append(f"{heading}\n{section.body}")
    style = STYLE.read_text(encoding="utf-8")
    return html.page(
        name,
        BODY,
        f"<style>\n{style}</style>\n",
        name=escape(name),
        summary=escape(summary),
        links="\n".join(links),
        notes=notes,
        sections="\n".join(parts),
    )


def titled_tables(tables: Sequence[Table]) -> str:
    """Return the tables that have rows, each below its title; empty without any."""
    parts = []
    for table in tables:
        if table.rows:
            parts.append(f"<h3>{escape(table.title)}</h3>")
            parts.append(html_table(table))
    return "\n".join(parts)


def html_table(table: Table) -> str:
    """Return a table that scrolls in its box, published figures and differences below ours."""
    label = escape(table.title)
    kind = ' class="text"' if table.texts else ""
    # A region that scrolls must be reachable by keyboard, hence the tabindex.
    lines = [f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">']
    lines += ['<table class="wide">', "<thead>", *_headings(table), "</thead><tbody>"]
    for name, cells in table.rows:
        head = f'<th scope="row">{escape(name)}</th>'
        row = "".join(map(_cell, cells))
        lines.append(f"<tr{kind}>{head}{row}</tr>")
    lines.append("</tbody></table></div>")
    for note in table.notes:
        lines.append(f'<p class="note">{escape(note)}</p>')
    return "\n".join(lines)


def _headings(table: Table) -> Iterator[str]:
    corner = f'scope="col">{escape(table.corner)}</th>'
    if table.groups:
        spans = []
        for name, span in table.groups:
            attributes = f'class="group" scope="colgroup" colspan="{span}"'
            spans.append(f"<th {attributes}>{escape(name)}</th>")
        cells = "".join(spans)
        yield f'<tr><th rowspan="2" {corner}{cells}</tr>'
    kind = ' class="text"' if table.texts else ""
    heads = []
    # With groups, the corner spans both rows of headings and stands in the first.
    if not table.groups:
        heads.append(f"<th {corner}")
    for column in table.columns:
        text = escape(column.title) + _arrow(column.arrow)
        heads.append(f'<th scope="col">{text}</th>')
    cells = "".join(heads)
    yield f"<tr{kind}>{cells}</tr>"


def _arrow(arrow: str) -> str:
    if not arrow:
        return ""
    words = {"↑": "higher is better", "↓": "lower is better"}[arrow]
    return f' <span title="{words}" role="img" aria-label="{words}">{arrow}</span>'


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.partial:
        text += '<sup title="fewer images than the set has">†</sup>'
    if cell.rank == "best":
        text = f"<b>{text}</b>"
    elif cell.rank == "second":
        text = f"<u>{text}</u>"
    if cell.worse:
        text = f'<span class="worse" title="worse than the input">{text} {WORSE}</span>'
    figure = cell.published
    if figure:
        source = f"published: {figure.method}, {figure.metric} on {figure.set}, {figure.paper}"
        value = f"{figure.value:.{figure.digits}f}"
        difference = f"<i>{escape(cell.difference)}</i>"
        text += f'<small title="{escape(source)}">{value} {difference}</small>'
    return f"<td>{text}</td>"
