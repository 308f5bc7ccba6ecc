"""The report of a benchmark as one HTML page."""

import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

from wxr_plugin.benchmark.report.content import Content
from wxr_plugin.benchmark.report.images import counts
from wxr_plugin.benchmark.report.scatter import COLOURS, numbers, scatters
from wxr_plugin.benchmark.report.tables import title
from wxr_plugin.benchmark.results import Results
from wxr_plugin.benchmark.tables import Cell, Table
from wxr_plugin.utils import html
from wxr_plugin.utils.html import WORSE, escape

_HERE = resources.files(__package__)
BODY, STYLE, SCRIPT = (_HERE / name for name in ("report.html", "report.css", "report.js"))


def to_html(content: Content, results: Results, data: dict[str, Any], side: int) -> str:
    """Return the page of a report.

    Args:
        content: warnings, tables and facts.
        results: the benchmark, for the charts.
        data: images and values of the viewer, from `images.viewer_data`.
        side: longest side of the images in `data`, in pixels.
    """
    warnings = [f'<p class="warning">{escape(text)}.</p>' for text in content.warnings]
    notes = [f'<p class="note">{escape(text)}</p>' for text in content.notes]
    facts = [f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in content.facts]
    return html.page(
        content.name,
        BODY,
        f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n",
        name=escape(content.name),
        summary=escape(_summary(results)),
        warnings="\n".join(warnings),
        notes="\n".join(notes),
        quality=_sections(content.quality),
        comparison=_comparison_notes(content),
        charts=_charts(results),
        cost=_sections([content.cost]),
        images=escape(_images_note(data, side)),
        data=script_json(data),
        script=SCRIPT.read_text(encoding="utf-8"),
        facts="\n".join(facts),
        protocol=_sections([content.protocol]),
        errors=_table_without_title(content.errors) or "<p>No image failed.</p>",
        overlaps=_table_without_title(content.overlaps) or f"<p>{_no_overlaps(results)}</p>",
        published=_sections(content.published)
        or "<p>No published table has a set of this benchmark.</p>",
    )


def html_table(table: Table) -> str:
    """Return a table that scrolls sideways, with published figures and differences below ours."""
    label = escape(table.title)
    # A region with a tab stop, so that a wide table can be scrolled with the keyboard.
    box = f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">'
    lines = [f'{box}<table class="wide">', "<thead>", *_headings(table), "</thead><tbody>"]
    style = ' class="text"' if table.texts else ""
    for name, cells in table.rows:
        head = f'<th scope="row">{escape(name)}</th>'
        lines.append(f"<tr{style}>{head}{''.join(map(_cell, cells))}</tr>")
    notes = [f'<p class="note">{escape(note)}</p>' for note in table.notes]
    return "\n".join([*lines, "</tbody></table></div>", *notes])


def script_json(data: Any) -> str:
    """Return `data` as JSON that is safe inside a script element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    # A photo may be called "</script>"; without "<" nothing in the JSON can end the element.
    return text.replace("<", "\\u003c")


def _headings(table: Table) -> Iterator[str]:
    if table.groups:
        spans = [
            f'<th class="group" scope="colgroup" colspan="{span}">{escape(name)}</th>'
            for name, span in table.groups
        ]
        yield f'<tr><th rowspan="2" scope="col">{escape(table.corner)}</th>{"".join(spans)}</tr>'
    corner = "" if table.groups else f'<th scope="col">{escape(table.corner)}</th>'
    style = ' class="text"' if table.texts else ""
    heads = [
        f'<th scope="col">{escape(heading.title)}{_arrow(heading.arrow)}</th>'
        for heading in table.columns
    ]
    yield f"<tr{style}>{corner}{''.join(heads)}</tr>"


def _arrow(arrow: str) -> str:
    if not arrow:
        return ""
    label = {"↑": "higher is better", "↓": "lower is better"}[arrow]
    return f' <span title="{label}" role="img" aria-label="{label}">{arrow}</span>'


def _cell(cell: Cell) -> str:
    text = escape(cell.text) + '<sup title="fewer images than the set has">†</sup>' * cell.partial
    if cell.rank == "best":
        text = f"<b>{text}</b>"
    elif cell.rank == "second":
        text = f"<u>{text}</u>"
    if cell.worse:
        text = f'<span class="worse" title="worse than the input">{text} {WORSE}</span>'
    if figure := cell.published:
        source = f"published: {figure.method}, {figure.metric} on {figure.set}, {figure.paper}"
        value = f"{figure.value:.{figure.digits}f}"
        text += f'<small title="{escape(source)}">{value} <i>{escape(cell.difference)}</i></small>'
    return f"<td>{text}</td>"


def _sections(tables: list[Table]) -> str:
    return "\n".join(
        f"<h3>{escape(table.title)}</h3>\n{html_table(table)}" for table in tables if table.rows
    )


def _no_overlaps(results: Results) -> str:
    options = results.facts.options
    if isinstance(options, dict) and options.get("overlaps"):
        return "None were found."
    return "Not searched for; the block `overlaps` of the benchmark's options turns the search on."


def _table_without_title(table: Table) -> str:
    return html_table(table) if table.rows else ""


def _comparison_notes(content: Content) -> str:
    """Explain the small figures in the tables; empty where no figure was published."""
    if not content.comparison:
        return ""
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in content.comparable)
    return (
        "<p>The small figures below ours are published ones, and ours minus the published one. "
        f"They are comparable only as far as weights, images and protocol are.</p>{notes}"
    )


def _charts(results: Results) -> str:
    drawn = [f"<figure>{chart}</figure>" for chart in scatters(results)]
    if not drawn:
        return "<p>No method was timed.</p>"
    legend = ""
    for name, number in numbers(results).items():
        colour = (number - 1) % COLOURS
        dot = '<span class="dot" aria-hidden="true"></span>'
        legend += f'<li class="p{colour}">{dot}{number} {escape(title(results, name))}</li>'
    return f'<ul class="legend">{legend}</ul>\n<div class="charts">{"".join(drawn)}</div>'


def _summary(results: Results) -> str:
    photos = len({(row.set, row.image) for row in results.rows})
    counted = [
        (len(results.methods), "method"),
        (len(results.sets), "set"),
        (photos, "photo"),
        (len(results.metrics), "metric"),
    ]
    parts = [f"{number:,} {word}" + ("" if number == 1 else "s") for number, word in counted]
    return ", ".join(parts) + "."


def _images_note(data: dict[str, Any], side: int) -> str:
    embedded, linked = counts(data)
    note = f"This page carries {embedded:,} photos, at most {side} pixels long, as lossy WebP."
    if linked:
        note += (
            f" The other {linked:,} are read from the files of the benchmark, so the page shows "
            f"them only where it was written."
        )
    return note
