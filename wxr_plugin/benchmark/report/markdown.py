"""The report of a benchmark as Markdown."""

import re
from collections.abc import Iterator

from wxr_plugin.benchmark.report.content import Content
from wxr_plugin.benchmark.tables import Cell, Table
from wxr_plugin.utils.html import WORSE


def to_markdown(content: Content) -> str:
    """Return the report, best figures bold, second ones underlined."""
    notes = [f"- Note: {escape(text)}." for text in content.warnings]
    notes += [f"- {escape(text)}" for text in content.notes]
    facts = [f"- {escape(name)}: {escape(text)}" for name, text in content.facts]
    parts = [f"# {escape(content.name)}", "\n".join(notes)]
    parts += ["Best in **bold**, second <u>underlined</u>."]
    parts += _tables([*content.quality, *content.comparison])
    parts += ["  \n".join(map(escape, content.comparable)), *_tables([content.cost])]
    parts += ["## Protocol", "\n".join(facts)]
    parts += _tables([content.protocol, content.errors, content.overlaps])
    return "\n\n".join(part for part in parts if part) + "\n"


def _tables(tables: list[Table]) -> list[str]:
    return ["\n\n".join(_table(table)) for table in tables if table.rows]


def _table(table: Table) -> Iterator[str]:
    """Yield heading, table and notes."""
    yield f"## {escape(table.title)}"
    # Markdown has no spans, so each column is headed by its group and its own title.
    groups = [name for name, span in table.groups for _ in range(span)] or [""] * len(table.columns)
    heads = [escape(table.corner)]
    for group, heading in zip(groups, table.columns):
        heads.append(f"{escape(group)} {escape(heading.title)} {heading.arrow}".strip())
    align = ":--" if table.texts else "--:"
    lines = [_line(heads), _line([":--", *[align] * len(table.columns)])]
    lines += [_line([escape(name), *map(_cell, cells)]) for name, cells in table.rows]
    yield "\n".join(lines)
    if table.notes:
        yield "  \n".join(escape(note) for note in table.notes)


def escape(text: str) -> str:
    """Return `text` on one line, with what Markdown would interpret escaped."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(text.split()))


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    ranked = {"best": f"**{text}**", "second": f"<u>{text}</u>", "": text}[cell.rank]
    return ranked + f" {WORSE}" * cell.worse + "†" * cell.partial
