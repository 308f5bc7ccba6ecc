"""Pages of sections and tables: a benchmark's, a run's of WResVLM and the demo's."""

from collections.abc import Iterator, Sequence
from importlib import resources
from typing import NamedTuple

from wxr_plugin.benchmark.tables import Cell, Table
from wxr_plugin.utils import html
from wxr_plugin.utils.html import WORSE, escape

_HERE = resources.files(__package__)
BODY, STYLE = _HERE / "report.html", _HERE / "report.css"


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
    links = [f'<a href="#{part.link.lower()}">{escape(part.link)}</a>' for part in sections]
    parts = [
        f'<h2 id="{part.link.lower()}">{escape(part.title)}</h2>\n{part.body}' for part in sections
    ]
    return html.page(
        name,
        BODY,
        f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n",
        name=escape(name),
        summary=escape(summary),
        links="\n".join(links),
        notes=notes,
        sections="\n".join(parts),
    )


def titled_tables(tables: Sequence[Table]) -> str:
    """Return the tables that have rows, each below its title; empty without any."""
    shown = [table for table in tables if table.rows]
    return "\n".join(f"<h3>{escape(table.title)}</h3>\n{html_table(table)}" for table in shown)


def html_table(table: Table) -> str:
    """Return a table that scrolls in its box, published figures and differences below ours."""
    label = escape(table.title)
    kind = ' class="text"' if table.texts else ""
    lines = [f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">']
    lines += ['<table class="wide">', "<thead>", *_headings(table), "</thead><tbody>"]
    for name, cells in table.rows:
        row = "".join(map(_cell, cells))
        lines.append(f'<tr{kind}><th scope="row">{escape(name)}</th>{row}</tr>')
    notes = [f'<p class="note">{escape(note)}</p>' for note in table.notes]
    return "\n".join([*lines, "</tbody></table></div>", *notes])


def _headings(table: Table) -> Iterator[str]:
    corner = f'scope="col">{escape(table.corner)}</th>'
    if table.groups:
        spans = [
            f'<th class="group" scope="colgroup" colspan="{span}">{escape(name)}</th>'
            for name, span in table.groups
        ]
        yield f'<tr><th rowspan="2" {corner}{"".join(spans)}</tr>'
    first = "" if table.groups else f"<th {corner}"
    kind = ' class="text"' if table.texts else ""
    heads = [
        f'<th scope="col">{escape(column.title)}{_arrow(column.arrow)}</th>'
        for column in table.columns
    ]
    yield f"<tr{kind}>{first}{''.join(heads)}</tr>"


def _arrow(arrow: str) -> str:
    if not arrow:
        return ""
    words = {"↑": "higher is better", "↓": "lower is better"}[arrow]
    return f' <span title="{words}" role="img" aria-label="{words}">{arrow}</span>'


def _cell(cell: Cell) -> str:
    text = escape(cell.text) + '<sup title="fewer images than the set has">†</sup>' * cell.partial
    text = {"best": f"<b>{text}</b>", "second": f"<u>{text}</u>", "": text}[cell.rank]
    if cell.worse:
        text = f'<span class="worse" title="worse than the input">{text} {WORSE}</span>'
    if figure := cell.published:
        source = f"published: {figure.method}, {figure.metric} on {figure.set}, {figure.paper}"
        value = f"{figure.value:.{figure.digits}f}"
        difference = f"<i>{escape(cell.difference)}</i>"
        text += f'<small title="{escape(source)}">{value} {difference}</small>'
    return f"<td>{text}</td>"
