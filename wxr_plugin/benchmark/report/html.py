"""The report of a benchmark as one page."""

from collections.abc import Iterator
from typing import Any

from wxr_plugin.benchmark.report.charts import picks_table, quality_charts
from wxr_plugin.benchmark.report.content import Content
from wxr_plugin.benchmark.report.images import counts
from wxr_plugin.benchmark.report.page import Section, html_table, page, titled_tables
from wxr_plugin.benchmark.report.scatter import COLOURS, numbers, scatters
from wxr_plugin.benchmark.report.tables import title
from wxr_plugin.benchmark.report.viewer import viewer
from wxr_plugin.benchmark.results import Results
from wxr_plugin.benchmark.tables import Table
from wxr_plugin.utils.html import WORSE, escape

RANKS = (
    f'<p>Best in <b>bold</b>, second <u>underlined</u>; <span class="worse">{WORSE}</span> worse '
    "than the input, the photos as they are, which is ranked with the methods.</p>"
)
PRINTED = "<details><summary>As the papers print them</summary>\n{}\n</details>"


def to_html(content: Content, results: Results, data: dict[str, Any], side: int) -> str:
    """Return the whole page.

    `data` is that of the viewer, whose images are at most `side` pixels long.
    """
    notes = []
    for text in content.warnings:
        notes.append(f'<p class="warning">{escape(text)}.</p>')
    for text in content.notes:
        notes.append(f'<p class="note">{escape(text)}</p>')
    photos = viewer(data, _images(data, side))
    sections = list(_sections(content, results, photos))
    return page(content.name, _summary(results), sections, "\n".join(notes))


def _sections(content: Content, results: Results, photos: str) -> Iterator[Section]:
    quality = [RANKS, _compared(content), titled_tables(content.quality)]
    yield Section("Quality", "Quality", "\n".join(quality))
    yield Section("Charts", "Charts and picks", _quality_charts(results))
    yield Section("Photos", "Photos", photos)
    charts = _charts(results)
    cost = titled_tables([content.cost])
    yield Section("Time", "Time and memory", f"{charts}\n{cost}")
    yield Section("Protocol", "Protocol", _protocol(content))
    # The titles of the sections stand for those of their single tables.
    errors = _table_without_title(content.errors) or "<p>No image failed.</p>"
    yield Section("Errors", "Errors", errors)
    overlaps = _table_without_title(content.overlaps) or f"<p>{_no_overlaps(results)}</p>"
    yield Section("Overlaps", "Test images that methods were trained on", overlaps)
    printed = titled_tables(content.published) or "<p>None has a set of this benchmark.</p>"
    yield Section("Published", "Published tables", PRINTED.format(printed))


def _protocol(content: Content) -> str:
    lines = ["<dl>"]
    for name, text in content.facts:
        lines.append(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>")
    lines.append("</dl>")
    lines.append(titled_tables([content.protocol]))
    return "\n".join(lines)


def _no_overlaps(results: Results) -> str:
    options = results.facts.options
    if isinstance(options, dict) and options.get("overlaps"):
        return "None were found."
    return "Not searched for; the block `overlaps` of the benchmark's options turns the search on."


def _table_without_title(table: Table) -> str:
    if not table.rows:
        return ""
    return html_table(table)


def _compared(content: Content) -> str:
    """Return the explanation of the small figures in the tables; empty without published ones."""
    if not content.comparison:
        return ""
    explanation = (
        "<p>The small figures below ours are published ones, and ours minus the published one. "
        "They are comparable only as far as weights, images and protocol are.</p>"
    )
    notes = [f'<p class="note">{escape(note)}</p>' for note in content.comparable]
    return explanation + "".join(notes)


def _quality_charts(results: Results) -> str:
    charts = "".join(f"<figure>{chart}</figure>" for chart in quality_charts(results))
    if not charts:
        return "<p>Nothing was measured.</p>"
    return f'<div class="charts drawn">{charts}</div>\n{titled_tables([picks_table(results)])}'


def _charts(results: Results) -> str:
    drawn = [f"<figure>{chart}</figure>" for chart in scatters(results)]
    if not drawn:
        return "<p>No method was timed.</p>"
    legend = ""
    for name, number in numbers(results).items():
        colour = (number - 1) % COLOURS
        label = escape(title(results, name))
        # A screen reader has the number, so it need not mention the dot.
        dot = '<span class="dot" aria-hidden="true"></span>'
        legend += f'<li class="p{colour}">{dot}{number} {label}</li>'
    charts = "".join(drawn)
    return f'<ul class="legend">{legend}</ul>\n<div class="charts">{charts}</div>'


def _summary(results: Results) -> str:
    # Every method has a row for the same photo.
    photos = {(row.set, row.image) for row in results.rows}
    counted = {
        "method": len(results.methods),
        "set": len(results.sets),
        "photo": len(photos),
        "metric": len(results.metrics),
    }
    parts = []
    for word, number in counted.items():
        ending = "" if number == 1 else "s"
        parts.append(f"{number:,} {word}{ending}")
    return ", ".join(parts) + "."


def _images(data: dict[str, Any], side: int) -> str:
    within, linked = counts(data)
    text = f"This page carries {within:,} photos, at most {side} pixels long, as lossy WebP."
    if linked:
        text += (
            f" The other {linked:,} are read from the files next to it, so it shows them only "
            "where it was written."
        )
    return text
