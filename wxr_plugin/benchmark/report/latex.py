"""The tables of a report as LaTeX, for booktabs."""

import re
import unicodedata
from collections.abc import Iterator

from wxr_plugin.benchmark.report.content import Content
from wxr_plugin.benchmark.tables import Cell, Table
from wxr_plugin.utils.html import WORSE

HEAD = r"""% Tables of a benchmark, to be read with \input. The preamble needs:
%   \usepackage[T1]{fontenc}
%   \usepackage{booktabs}
%   \usepackage{graphicx}
%   \usepackage{xcolor}
"""
SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "†": r"$^\dagger$",
    "×": r"$\times$",
    "−": r"$-$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    WORSE: r"$\bigtriangledown$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def to_latex(content: Content) -> str:
    """All tables of figures: best ones bold, second ones underlined."""
    tables = [
        table
        for table in (*content.quality, *content.comparison, content.cost, content.protocol)
        if table.rows
    ]
    head = HEAD + "".join(f"% {text}\n" for text in content.comparable)
    return head + "\n" + "\n".join("\n".join(_table(table)) + "\n" for table in tables)


def escape(text: str) -> str:
    """Text that LaTeX prints as it is, in one line.

    Letters that its T1 fonts lack lose their accents, or become ?.
    """
    return "".join(map(_letter, " ".join(text.split())))


def _letter(letter: str) -> str:
    if letter in SPECIAL or ord(letter) < 0x180:  # T1 fonts have Latin-1 and Latin Extended-A
        return SPECIAL.get(letter, letter)
    return unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode() or "?"


def _table(table: Table) -> Iterator[str]:
    yield r"\begin{table*}[t]"
    yield r"\centering"
    yield rf"\caption{{{escape(' '.join([_sentence(table.title), *table.notes]))}}}"
    yield rf"\label{{tab:{re.sub('[^a-z0-9]+', '-', table.title.lower()).strip('-')}}}"
    kind = "l" if table.texts else "c"
    # \linewidth is the most that a table may take; a narrow one keeps its size
    yield r"\resizebox{\ifdim\width>\linewidth \linewidth\else\width\fi}{!}{%"
    yield rf"\begin{{tabular}}{{l{kind * len(table.columns)}}}"
    yield r"\toprule"
    yield from _headings(table)
    yield r"\midrule"
    yield from (_line([escape(name), *map(_cell, cells)]) for name, cells in table.rows)
    yield r"\bottomrule"
    yield r"\end{tabular}}"
    yield r"\end{table*}"


def _headings(table: Table) -> Iterator[str]:
    if table.groups:
        spans = [rf"\multicolumn{{{span}}}{{c}}{{{escape(name)}}}" for name, span in table.groups]
        yield _line(["", *spans])
        ends = [
            sum(span for _, span in table.groups[: place + 1]) + 1
            for place in range(len(table.groups))
        ]
        starts = [2, *(end + 1 for end in ends)]
        yield " ".join(rf"\cmidrule(lr){{{start}-{end}}}" for start, end in zip(starts, ends))
    yield _line(
        [
            escape(table.corner),
            *(escape(f"{each.title} {each.arrow}".strip()) for each in table.columns),
        ]
    )


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(cell: Cell) -> str:
    text = escape(
        re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1", cell.text)
    )  # a sha256 would make the table tiny
    marked = {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}", "": text}[
        cell.rank
    ]
    marked = rf"\textcolor{{red}}{{{marked}\,{escape(WORSE)}}}" if cell.worse else marked
    return marked + escape("†" * cell.partial)


def _sentence(text: str) -> str:
    return text.rstrip(".") + "."
