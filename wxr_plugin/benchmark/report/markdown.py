"""The report of a benchmark as Markdown."""

import re
from collections.abc import Iterator

from wxr_plugin.benchmark.report.content import Content
from wxr_plugin.benchmark.tables import Cell, Table
from wxr_plugin.utils.html import WORSE


def to_markdown(content: Content) -> str:
    """Return the report, best figures bold, second ones underlined."""
    notes = []
    for text in content.warnings:
        notes.append(f"- Note: {escape(text)}.")
    for text in content.notes:
        notes.append(f"- {escape(text)}")
    quality = [*content.quality, *content.comparison]
    facts = [f"- {escape(name)}: {escape(text)}" for name, text in content.facts]
    parts = [
        f"# {escape(content.name)}",
        "\n".join(notes),
        "Best in **bold**, second <u>underlined</u>.",
        *_tables(quality),
        # Two spaces before its end break a line.
        "  \n".join(map(escape, content.comparable)),
        *_tables([content.cost]),
        "## Protocol",
        "\n".join(facts),
        *_tables([content.protocol, content.errors, content.overlaps]),
    ]
    filled = [part for part in parts if part]
    return "\n\n".join(filled) + "\n"


def _tables(tables: list[Table]) -> list[str]:
    shown = [table for table in tables if table.rows]
    return ["\n\n".join(_table(table)) for table in shown]


def _table(table: Table) -> Iterator[str]:
    """Yield heading, table and notes."""
    yield f"## {escape(table.title)}"
    # Markdown has no spans, so each column is headed by its group and its own title.
    groups = []
    for name, span in table.groups:
        groups += [name] * span
    if not groups:
        groups = [""] * len(table.columns)
    heads = [escape(table.corner)]
    # Texts stand at the left, figures at the right.
    alignment = [":--"]
    for group, heading in zip(groups, table.columns):
        title = f"{escape(group)} {escape(heading.title)}"
        heads.append(f"{title} {heading.arrow}".strip())
        alignment.append(":--" if table.texts else "--:")
    lines = [_line(heads), _line(alignment)]
    for name, cells in table.rows:
        texts = [escape(name), *map(_cell, cells)]
        lines.append(_line(texts))
    yield "\n".join(lines)
    if table.notes:
        yield "  \n".join(escape(note) for note in table.notes)


def escape(text: str) -> str:
    """Return `text` on one line, with what Markdown would interpret escaped."""
    line = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", line)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.rank == "best":
        text = f"**{text}**"
    elif cell.rank == "second":
        text = f"<u>{text}</u>"
    if cell.worse:
        text += f" {WORSE}"
    if cell.partial:
        text += "†"
    return text
