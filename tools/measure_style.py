"""Measure how the code reads: density, comments, wording and length of lines, folder by folder.

    python tools/measure_style.py
    python tools/measure_style.py wxr_plugin/losses --list

Without folders, every folder of wxr_plugin has a row. `--list` prints the places of what the limits
forbid. What is counted: AST nodes (without contexts such as Load) per code line (a line that is
neither blank, comment nor docstring); comments per 100 code lines; lines with more than one
comprehension; phrases of PHRASES
per 10,000 words of docstrings, comments and strings; docstrings that do not begin with a verb
(`ruff check --select D401` knows more); names in NAMES that are assigned.
"""

import argparse
import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "wxr_plugin"
PHRASES = {
    "what it/they/the": r"\bwhat (?:it|they|the)\b",
    "beside": r"\bbesides?\b",
    "tell/told": r"\b(?:tells?|told|telling)\b",
    "anew": r"\banew\b",
    "go on": r"\b(?:go|goes|going|went) on\b",
    ", say": r", say\b",
    "mend": r"\bmend(?:s|ed|ing)?\b",
    "bear": r"\b(?:bears?|bore|borne)\b",
    "so many": r"\bso (?:many|much)\b",
    "the host's": r"\bthe host's\b",
}
NAMES = {"found", "told", "each", "one", "which", "what", "other", "known", "wanted", "kept"}
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
WIDTH = 100


class Module:
    """The counts of one file.

    Args:
        path: a Python file.

    Attributes:
        nodes: number of AST nodes that are not part of a docstring.
        code_lines, comments: numbers of lines and of comments.
        words: number of words of docstrings, comments and strings.
        phrases: phrase -> lines on which it stands.
        places: what a limit forbids, as (line, why).
    """

    def __init__(self, path: Path):
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)
        docstrings = list(_docstrings(self.tree))
        self.comments = _comments(self.text)
        self.code_lines = len(_code_lines(self.text) - _lines_of(docstrings))
        nodes = [node for node in ast.walk(self.tree) if not isinstance(node, ast.expr_context)]
        self.nodes = len(nodes) - 2 * len(docstrings)
        self.words, self.phrases = 0, Counter()
        self.places: list[tuple[int, str]] = []
        self._read_prose(docstrings)
        self._read_code()

    def _read_prose(self, docstrings: list[ast.Constant]) -> None:
        """Count words and phrases of docstrings, comments and other strings."""
        strings = [node for node in ast.walk(self.tree) if _is_text(node)]
        prose = [(node.lineno, node.value) for node in strings]
        for line, text in prose + self.comments:
            self.words += len(re.findall(r"[A-Za-z']+", text))
            for phrase, pattern in PHRASES.items():
                count = len(re.findall(pattern, text, re.IGNORECASE))
                self.phrases[phrase] += count
                self.places += [(line, f"phrase: {phrase}")] * count

    def _read_code(self) -> None:
        """Note wide lines, lines with several comprehensions and names that carry no type."""
        for number, line in enumerate(self.text.splitlines(), 1):
            if len(line) > WIDTH:
                self.places.append((number, f"{len(line)} columns"))
        starts = Counter(
            node.lineno for node in ast.walk(self.tree) if isinstance(node, COMPREHENSIONS)
        )
        self.crowded = sum(count > 1 for count in starts.values())
        self.places += [(line, "comprehensions") for line, count in starts.items() if count > 1]
        names = [node for node in ast.walk(self.tree) if _is_bare_name(node)]
        self.bare_names = len(names)
        self.places += [(node.lineno, f"name: {node.id}") for node in names]


def _docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Give the docstrings of modules, classes, functions and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and _is_text(node.value):
            yield node.value


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_bare_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in NAMES


def _comments(text: str) -> list[tuple[int, str]]:
    """Return (line, text) of the comments that a reader reads, not those of linters."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = [
        (token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT
    ]
    return [
        (line, comment)
        for line, comment in comments
        if not re.match(r"#\s*(noqa|isort|fmt|type:|ruff)", comment)
    ]


def _code_lines(text: str) -> set[int]:
    """Return the numbers of the lines that hold code or strings."""
    layout = {tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in layout and token.string:
            lines.update(range(token.start[0], token.end[0] + 1))
    return lines


def _lines_of(nodes: list[ast.Constant]) -> set[int]:
    return {line for node in nodes for line in range(node.lineno, node.end_lineno + 1)}


def row(name: str, modules: list[Module]) -> str:
    """Return one line of the table."""
    code = max(1, sum(module.code_lines for module in modules))
    words = max(1, sum(module.words for module in modules))
    phrases = sum((module.phrases for module in modules), Counter())
    spoken = [f"{count * 1e4 / words:.1f} {phrase}" for phrase, count in phrases.items() if count]
    density = sum(module.nodes for module in modules) / code
    comments = 100 * sum(len(module.comments) for module in modules) / code
    crowded = sum(module.crowded for module in modules)
    bare = sum(module.bare_names for module in modules)
    return (
        f"| {name} | {len(modules)} | {code} | {density:.1f} | {comments:.1f} | {crowded} | "
        f"{bare} | {', '.join(spoken)} |"
    )


def main() -> None:
    """Print the table, and with --list the places."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, help="default: those of wxr_plugin")
    parser.add_argument("--list", action="store_true", help="print what the limits forbid")
    args = parser.parse_args()
    folders = args.folders or [PACKAGE, *sorted(p for p in PACKAGE.iterdir() if p.is_dir())]
    print(
        "| folder | files | code lines | nodes a line | comments per 100 | crowded | bare names |"
    )
    print("|---|---|---|---|---|---|---|")
    for folder in folders:
        modules = [Module(path) for path in sorted(folder.rglob("*.py"))]
        if modules:
            print(row(folder.name, modules))
        for module in modules if args.list else ():
            for line, why in sorted(module.places):
                print(f"{module.path}:{line}: {why}")


if __name__ == "__main__":
    main()
