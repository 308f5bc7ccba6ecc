"""The report as one page."""

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
    """The whole page. `data` is that of the viewer, whose images are at most `side` pixels long."""
    return html.page(
        content.name,
        BODY,
        f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n",
        name=escape(content.name),
        summary=escape(_summary(results)),
        warnings="\n".join(f'<p class="warning">{escape(text)}.</p>' for text in content.warnings),
        notes="\n".join(f'<p class="note">{escape(text)}</p>' for text in content.notes),
        quality=_sections(content.quality),
        comparison=_compared(content),
        charts=_charts(results),
        cost=_sections([content.cost]),
        images=escape(_images(data, side)),
        data=script_json(data),
        script=SCRIPT.read_text(encoding="utf-8"),
        facts="\n".join(
            f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in content.facts
        ),
        protocol=_sections([content.protocol]),
        errors=_bare(content.errors) or "<p>No image failed.</p>",
        overlaps=_bare(content.overlaps) or f"<p>{_no_overlaps(results)}</p>",
        published=_sections(content.published) or "<p>None has a set of this benchmark.</p>",
    )


def html_table(table: Table) -> str:
    """A table that scrolls in its box; the published figure and the difference stand below ours."""
    lines = [
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(table.title)}"><table class="wide">'
    ]
    lines += ["<thead>", *_headings(table), "</thead><tbody>"]
    kind = ' class="text"' if table.texts else ""
    for name, cells in table.rows:
        lines += [
            f'<tr{kind}><th scope="row">{escape(name)}</th>' + "".join(map(_cell, cells)) + "</tr>"
        ]
    notes = [f'<p class="note">{escape(note)}</p>' for note in table.notes]
    return "\n".join([*lines, "</tbody></table></div>", *notes])


def script_json(data: Any) -> str:
    """JSON that may stand in a script element, whatever the names in it."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _headings(table: Table) -> Iterator[str]:
    if table.groups:
        spans = [
            f'<th class="group" scope="colgroup" colspan="{span}">{escape(name)}</th>'
            for name, span in table.groups
        ]
        yield f'<tr><th rowspan="2" scope="col">{escape(table.corner)}</th>{"".join(spans)}</tr>'
    corner = "" if table.groups else f'<th scope="col">{escape(table.corner)}</th>'
    kind = ' class="text"' if table.texts else ""
    heads = [
        f'<th scope="col">{escape(each.title)}{_arrow(each.arrow)}</th>' for each in table.columns
    ]
    yield f"<tr{kind}>{corner}{''.join(heads)}</tr>"


def _arrow(arrow: str) -> str:
    words = {"↑": "higher is better", "↓": "lower is better"}
    return (
        f' <span title="{words[arrow]}" role="img" aria-label="{words[arrow]}">{arrow}</span>'
        if arrow
        else ""
    )


def _cell(cell: Cell) -> str:
    text = escape(cell.text) + '<sup title="fewer images than the set has">†</sup>' * cell.partial
    text = {"best": f"<b>{text}</b>", "second": f"<u>{text}</u>", "": text}[cell.rank]
    if cell.worse:
        text = f'<span class="worse" title="worse than the input">{text} {WORSE}</span>'
    if figure := cell.published:
        told = f"published: {figure.method}, {figure.metric} on {figure.set}, {figure.paper}"
        theirs = f"{figure.value:.{figure.digits}f}"
        text += f'<small title="{escape(told)}">{theirs} <i>{escape(cell.difference)}</i></small>'
    return f"<td>{text}</td>"


def _sections(tables: list[Table]) -> str:
    return "\n".join(
        f"<h3>{escape(table.title)}</h3>\n{html_table(table)}" for table in tables if table.rows
    )


def _no_overlaps(results: Results) -> str:
    options = results.facts.options
    looked = isinstance(options, dict) and options.get("overlaps")
    return (
        "None were found."
        if looked
        else "None were looked for; `overlaps` in the benchmark's options does."
    )


def _bare(table: Table) -> str:
    return html_table(table) if table.rows else ""


def _compared(content: Content) -> str:
    """What the small figures in the tables are; empty where nothing was published."""
    if not content.comparison:
        return ""
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in content.comparable)
    return (
        "<p>The small figures below ours are published ones, and ours minus the published one. "
        "They are comparable "
        f"only as far as weights, images and protocol are.</p>{notes}"
    )


def _charts(results: Results) -> str:
    drawn = [f"<figure>{chart}</figure>" for chart in scatters(results)]
    if not drawn:
        return "<p>No method was timed.</p>"
    legend = [
        f'<li class="p{(number - 1) % COLOURS}"><span class="dot" aria-hidden="true"></span>{number} '
        f"{escape(title(results, name))}</li>"
        for name, number in numbers(results).items()
    ]
    return f'<ul class="legend">{"".join(legend)}</ul>\n<div class="charts">{"".join(drawn)}</div>'


def _summary(results: Results) -> str:
    photos = len({(row.set, row.image) for row in results.rows})
    counted = [
        (len(results.methods), "method"),
        (len(results.sets), "set"),
        (photos, "photo"),
        (len(results.metrics), "metric"),
    ]
    return ", ".join(f"{number:,} {word}{'s' * (number != 1)}" for number, word in counted) + "."


def _images(data: dict[str, Any], side: int) -> str:
    within, linked = counts(data)
    told = f"This page carries {within:,} photos, at most {side} pixels long, as lossy WebP."
    if linked:
        told += f" The other {linked:,} are read from the files beside it, so it shows them only where it was written."
    return told
