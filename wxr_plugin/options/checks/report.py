"""What is wrong with an option file, where, and how to mend it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import yaml

from wxr_plugin.options.safe_yaml import OptionLoader

Keys = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: `file`, `key` (a path such as `datasets.train.gt_size`), what it is, and its mend."""

    file: str
    key: str
    what: str
    mend: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f"{self.key}: " if self.key else ""
        return f"{place}: {key}{self.what}" + (f"; {self.mend}" if self.mend else "")


@dataclass
class Report:
    """The problems of one file.

    `is_train` tells which keys are needed, `lines` maps key paths to line numbers, and `types`
    holds optimizers and schedules that the model adds to those of BasicSR, as {"optimizer": {name:
    class}}.
    """

    file: str
    is_train: bool = True
    lines: dict[Keys, int] = field(default_factory=dict)
    types: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def during(self, is_train: bool) -> "Report":
        """This report, with the same problems, for a block whose phase is or is not training."""
        return replace(self, is_train=is_train)

    def add(self, keys: Keys, what: str, mend: str = "") -> None:
        """Add a problem at `keys`, unless another check has found it there."""
        key = dotted(keys)
        if not any((problem.key, problem.what) == (key, what) for problem in self.problems):
            self.problems.append(Problem(self.file, key, what, mend, self._line(keys)))

    def unknown(self, keys: Keys, known: Iterable[str]) -> None:
        """Add the problem that the last of `keys` is not one of `known`."""
        self.add(keys, "unknown key", suggest(str(keys[-1]), known, "the known keys are"))

    def _line(self, keys: Keys) -> int | None:
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return self.lines.get(keys)


def dotted(keys: Keys) -> str:
    """`("train", "scheduler", "periods", 0)` as `train.scheduler.periods[0]`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return text.removeprefix(".")


def suggest(name: str, known: Iterable[str], otherwise: str, cutoff: float = 0.6) -> str:
    """Return how to correct a wrong `name`: the nearest of `known`, or all of them after the words `otherwise`.

    `cutoff` in [0, 1] is the similarity, as difflib measures it, from which on a name is near.
    """
    names = sorted(set(known))
    folded = {candidate.lower(): candidate for candidate in names}
    near = get_close_matches(name.lower(), folded, n=1, cutoff=cutoff)
    if near:
        return f"did you mean {folded[near[0]]}?"
    return f"{otherwise} {', '.join(names)}" if names else ""


def describe(value: Any) -> str:
    """`value` for a message: its kind and, where short, itself."""
    if value is None:
        return "empty"
    if isinstance(value, Mapping):
        return "a block of keys"
    if isinstance(value, list | tuple):
        return f"a list ({value!r:.60})"
    kind = {str: "the text", bool: "the truth value", int: "the number", float: "the number"}
    return f"{kind.get(type(value), type(value).__name__)} {value!r:.80}"


def key_lines(text: str) -> dict[Keys, int]:
    """Line numbers (from 1) of every key path in YAML `text`; none where it is not YAML."""
    try:
        root = yaml.compose(text, Loader=OptionLoader)
    except yaml.YAMLError:  # whoever reads the values reports it
        return {}
    lines: dict[Keys, int] = {}
    pending: list[tuple[Keys, yaml.Node | None]] = [((), root)]
    while pending:
        keys, node = pending.pop()
        for key, child, mark in _children(node):
            lines[(*keys, key)] = mark.line + 1
            pending.append(((*keys, key), child))
    return lines


def add_duplicates(report: Report, text: str) -> None:
    """Report keys that stand twice in one block of YAML `text`, of which the last would count.

    `define` may repeat: files of BasicSR's family use it only to carry anchors.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:  # whoever reads the values reports it
        return
    pending: list[tuple[Keys, yaml.Node | None]] = [((), root)]
    seen: set[int] = set()  # aliases lead to one node several times, or back to it
    while pending:
        keys, node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        first: dict[str | int, int] = {}
        for key, child, mark in _children(node):
            pending.append(((*keys, key), child))
            if key in first and key not in ("<<", "define"):
                what = f"given twice, first in line {first[key]}; only the last one counts"
                problem = Problem(
                    report.file, dotted((*keys, key)), what, "remove one", mark.line + 1
                )
                report.problems.append(problem)
            first.setdefault(key, mark.line + 1)


def _children(node: yaml.Node | None) -> list[tuple[str | int, yaml.Node, yaml.Mark]]:
    if isinstance(node, yaml.MappingNode):
        return [
            (key.value, value, key.start_mark)
            for key, value in node.value
            if isinstance(key, yaml.ScalarNode)
        ]
    if isinstance(node, yaml.SequenceNode):
        return [(index, item, item.start_mark) for index, item in enumerate(node.value)]
    return []
