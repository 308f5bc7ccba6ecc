"""What setup.py and constraints.txt say."""

import ast
import re
from pathlib import Path
from typing import Any

from packaging.version import Version

REPOSITORY = Path(__file__).parents[2]


def keyword(name: str) -> Any:
    """Return the value of a keyword of the call of `setup` in setup.py."""
    calls = [
        node
        for node in ast.walk(ast.parse((REPOSITORY / "setup.py").read_text()))
        if isinstance(node, ast.Call)
    ]
    (setup,) = [call for call in calls if getattr(call.func, "id", "") == "setup"]
    (value,) = [entry.value for entry in setup.keywords if entry.arg == name]
    return ast.literal_eval(value)


def pins() -> dict[str, Version]:
    """Return the version of each package in constraints.txt, whose lines must be exact pins."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    matches = [re.fullmatch(r"([a-z0-9-]+)==([^ @+]+)", line) for line in lines]
    assert all(matches), [line for line, match in zip(lines, matches) if not match]
    return {match[1]: Version(match[2]) for match in matches}
