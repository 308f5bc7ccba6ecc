"""The tables of a report as LaTeX with booktabs."""

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
    """Return all tables of figures, best ones bold, second ones underlined."""
    tables = [*content.quality, *content.comparison, content.cost, content.protocol]
    texts = []
    for table in tables:
        if table.rows:
            lines = "\n".join(_table(table))
            texts.append(lines + "\n")
    comments = [f"% {text}\n" for text in content.comparable]
    head = HEAD + "".join(comments)
    return head + "\n" + "\n".join(texts)


def escape(text: str) -> str:
    """Return `text` on one line, with what LaTeX would interpret escaped.

    Letters that T1 fonts lack lose their accents, or become "?".
    """
    line = " ".join(text.split())
    return "".join(map(_letter, line))


def _letter(letter: str) -> str:
    if letter in SPECIAL or ord(letter) < 0x180:  # T1 fonts have Latin-1 and Latin Extended-A
        return SPECIAL.get(letter, letter)
    # NFKD separates a letter from its accents, which ASCII does not have.
    decomposed = unicodedata.normalize("NFKD", letter)
    plain = decomposed.encode("ascii", "ignore").decode()
    return plain or "?"


def _table(table: Table) -> Iterator[str]:
    yield r"\begin{table*}[t]"
    yield r"\centering"
    caption = " ".join([table.title.rstrip(".") + ".", *table.notes])
    yield rf"\caption{{{escape(caption)}}}"
    label = re.sub("[^a-z0-9]+", "-", table.title.lower()).strip("-")
    yield rf"\label{{tab:{label}}}"
    alignment = "l" if table.texts else "c"
    # A table that is wider than the line is shrunk to it; a narrow one keeps its size.
    yield r"\resizebox{\ifdim\width>\linewidth \linewidth\else\width\fi}{!}{%"
    yield rf"\begin{{tabular}}{{l{alignment * len(table.columns)}}}"
    yield r"\toprule"
    yield from _headings(table)
    yield r"\midrule"
    for name, cells in table.rows:
        yield _line([escape(name), *map(_cell, cells)])
    yield r"\bottomrule"
    yield r"\end{tabular}}"
    yield r"\end{table*}"


def _headings(table: Table) -> Iterator[str]:
    if table.groups:
        spans = [""]
        for name, span in table.groups:
            label = escape(name)
            spans.append(rf"\multicolumn{{{span}}}{{c}}{{{label}}}")
        yield _line(spans)
        rules = []
        start = 2  # column 1 has the names
        for _, span in table.groups:
            end = start + span - 1
            rules.append(rf"\cmidrule(lr){{{start}-{end}}}")
            start = end + 1
        yield " ".join(rules)
    heads = [escape(table.corner)]
    for heading in table.columns:
        text = f"{heading.title} {heading.arrow}"
        heads.append(escape(text.strip()))
    yield _line(heads)


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(cell: Cell) -> str:
    # A whole SHA-256 would be so wide that the table is shrunk to nothing; 12 digits are kept.
    text = escape(re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1", cell.text))
    if cell.rank == "best":
        text = rf"\textbf{{{text}}}"
    elif cell.rank == "second":
        text = rf"\underline{{{text}}}"
    if cell.worse:
        text = rf"\textcolor{{red}}{{{text}\,{escape(WORSE)}}}"
    if cell.partial:
        text += escape("†")
    return text
