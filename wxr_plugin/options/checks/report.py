"""Problems of an option file: each with its place and its fix."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import yaml

from wxr_plugin.options.nested import Keys, dotted
from wxr_plugin.options.safe_yaml import REPEATABLE, OptionLoader


@dataclass(frozen=True)
class Problem:
    """One problem of a file.

    Attributes:
        file: path of the file, as the user gave it.
        key: place in the file, such as `datasets.train.gt_size`; empty for the whole file.
        fault: what is wrong, as a phrase.
        fix: how to correct it, as a phrase in the imperative; may be empty.
        line: line number from 1; None if the place is in no line.
    """

    file: str
    key: str
    fault: str
    fix: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place = f"{self.file}:{self.line}"
        text = self.fault
        if self.key:
            text = f"{self.key}: {text}"
        if self.fix:
            text = f"{text}; {self.fix}"
        return f"{place}: {text}"


@dataclass
class Report:
    """The problems of one file.

    Attributes:
        file: path of the file.
        is_train: whether the keys are required that only training needs.
        lines: path of keys -> line number.
        types: optimizers and schedules that the model adds to those of BasicSR, as
            {"optimizer": {name: class}}.
        problems: the problems so far, in the order of the checks.
    """

    file: str
    is_train: bool = True
    lines: dict[Keys, int] = field(default_factory=dict)
    types: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def during(self, is_train: bool) -> "Report":
        """Return this report, with the same list of problems, for a block of another phase."""
        return replace(self, is_train=is_train)

    def add(self, keys: Keys | str, fault: str, fix: str = "") -> None:
        """Add a problem at `keys`, unless another check has reported the same.

        A path of plain names may also be dotted: `train.amp`.
        """
        if isinstance(keys, str):
            keys = tuple(keys.split("."))
        key = dotted(keys)
        for problem in self.problems:
            if problem.key == key and problem.fault == fault:
                return
        line = self._line(keys)
        self.problems.append(Problem(self.file, key, fault, fix, line))

    def unknown(self, keys: Keys, names: Iterable[str]) -> None:
        """Add the problem that the last of `keys` is not one of `names`."""
        name = str(keys[-1])
        fix = suggest(name, names, "the known keys are")
        self.add(keys, "unknown key", fix)

    def _line(self, keys: Keys) -> int | None:
        # A missing key has no line; its block has.
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return self.lines.get(keys)


def suggest(name: str, names: Iterable[str], otherwise: str, cutoff: float = 0.6) -> str:
    """Return how to correct a wrong `name`: the nearest of `names`, or a list of all of them.

    Args:
        name: the unknown name.
        names: the known ones.
        otherwise: words before the list of all names, if none is near.
        cutoff: smallest similarity in [0, 1] of a near name, as difflib measures it.
    """
    ordered = sorted(set(names))
    # Compared without case; the message shows the right spelling.
    by_lower = {candidate.lower(): candidate for candidate in ordered}
    near = get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    if near:
        nearest = by_lower[near[0]]
        return f"did you mean {nearest}?"
    if not ordered:
        return ""
    return f"{otherwise} {', '.join(ordered)}"


def describe(value: Any) -> str:
    """Return the kind of `value` and, if it is short, the value itself, for a message."""
    if value is None:
        return "empty"
    if isinstance(value, Mapping):
        return "a block of keys"
    if isinstance(value, list | tuple):
        return f"a list ({value!r:.60})"
    kinds = {str: "the text", bool: "the truth value", int: "the number", float: "the number"}
    kind = kinds.get(type(value), type(value).__name__)
    return f"{kind} {value!r:.80}"


def key_lines(text: str) -> dict[Keys, int]:
    """Return the line number (from 1) of each path of keys in YAML `text`; {} if it is not YAML."""
    try:
        root = yaml.compose(text, Loader=OptionLoader)
    except yaml.YAMLError:  # reported when the values are read
        return {}
    lines: dict[Keys, int] = {}
    pending: list[tuple[Keys, yaml.Node | None]] = [((), root)]
    while pending:
        keys, node = pending.pop()
        for key, child, mark in _children(node):
            place = (*keys, key)
            lines[place] = mark.line + 1  # PyYAML counts from 0
            pending.append((place, child))
    return lines


def add_duplicates(report: Report, text: str) -> None:
    """Report keys that stand twice in one block of YAML `text`, of which only the last counts."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:  # reported when the values are read
        return
    pending: list[tuple[Keys, yaml.Node | None]] = [((), root)]
    seen: set[int] = set()  # an alias is the same node as its anchor, which may contain it
    while pending:
        keys, node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        first_lines: dict[str | int, int] = {}
        for key, child, mark in _children(node):
            place = (*keys, key)
            pending.append((place, child))
            line = mark.line + 1  # PyYAML counts from 0
            if key in first_lines and key not in REPEATABLE:
                _add_duplicate(report, place, first_lines[key], line)
            first_lines.setdefault(key, line)


def _add_duplicate(report: Report, keys: Keys, first_line: int, line: int) -> None:
    """Report the second of two equal keys; `Report.add` would give it the line of the first."""
    fault = f"given twice, first in line {first_line}; only the last one counts"
    problem = Problem(report.file, dotted(keys), fault, "remove one", line)
    report.problems.append(problem)


def _children(node: yaml.Node | None) -> list[tuple[str | int, yaml.Node, yaml.Mark]]:
    """Return key, value and place of each entry of a mapping or sequence."""
    children = []
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            # Keys that are blocks themselves are refused when the values are read.
            if isinstance(key, yaml.ScalarNode):
                children.append((key.value, value, key.start_mark))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            children.append((index, item, item.start_mark))
    return children
