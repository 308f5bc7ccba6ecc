"""The report as Markdown."""

import re
from collections.abc import Iterator

from wxr_plugin.benchmark.report.content import Content
from wxr_plugin.benchmark.tables import Cell, Table
from wxr_plugin.utils.html import WORSE


def to_markdown(content: Content) -> str:
    """The whole report; best figures are bold, second ones underlined."""
    notes = [
        *(f"- Note: {escape(text)}." for text in content.warnings),
        *(f"- {escape(each)}" for each in content.notes),
    ]
    parts = [f"# {escape(content.name)}", "\n".join(notes)]
    parts += ["Best in **bold**, second <u>underlined</u>."]
    parts += _tables([*content.quality, *content.comparison])
    parts += ["  \n".join(map(escape, content.comparable)), *_tables([content.cost])]
    parts += [
        "## Protocol",
        "\n".join(f"- {escape(name)}: {escape(text)}" for name, text in content.facts),
    ]
    parts += _tables([content.protocol, content.errors, content.overlaps])
    return "\n\n".join(part for part in parts if part) + "\n"


def _tables(tables: list[Table]) -> list[str]:
    return ["\n\n".join(_table(table)) for table in tables if table.rows]


def _table(table: Table) -> Iterator[str]:
    """Heading, table and notes.

    A column is named by its group and its own title, as Markdown knows no spans.
    """
    yield f"## {escape(table.title)}"
    groups = [name for name, span in table.groups for _ in range(span)] or [""] * len(table.columns)
    heads = [
        f"{escape(group)} {escape(each.title)} {each.arrow}".strip()
        for group, each in zip(groups, table.columns)
    ]
    align = ":--" if table.texts else "--:"
    lines = [_line([escape(table.corner), *heads]), _line([":--", *[align] * len(heads)])]
    lines += [_line([escape(name), *map(_cell, cells)]) for name, cells in table.rows]
    yield "\n".join(lines)
    if table.notes:
        yield "  \n".join(escape(note) for note in table.notes)


def escape(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(text.split()))


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    ranked = {"best": f"**{text}**", "second": f"<u>{text}</u>", "": text}[cell.rank]
    return ranked + f" {WORSE}" * cell.worse + "†" * cell.partial
