"""Paths in the help of every command, usage errors, and errors of the system."""

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from wxr_plugin.cli import main as cli

REPOSITORY = Path(__file__).parents[2]
NAMED = re.compile(r"(?<![\w/.])(?:options|tools|benchmarks|docs|tests|wxr_plugin)/[\w./*-]+")


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield `parser` and every parser of a sub-command below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from parsers(child)


def test_every_path_of_the_repository_that_a_help_names_exists():
    named = [
        (parser.prog, path.rstrip("."))
        for parser in parsers(cli.build_parser())
        for path in NAMED.findall(parser.format_help())
    ]
    assert len(named) > 10 and {"wxr train", "wxr test", "wxr check"} <= {
        command for command, _ in named
    }
    missing = [(command, path) for command, path in named if not any(REPOSITORY.glob(path))]
    assert not missing


@pytest.mark.parametrize(
    ("line", "usage"),
    [
        (["restore", "-i", "a.jpg", "-o", "out"], "usage: wxr restore"),
        (["zoo", "list", "--nonsense"], "usage: wxr zoo list"),
        (["train", "-opt", "x.yml", "--resume"], "usage: wxr train"),
    ],
)
def test_a_usage_error_shows_the_usage_of_its_sub_command(line, usage, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(line)
    err = capsys.readouterr().err
    assert left.value.code == 2 and err.startswith(usage), err


def _readme_commands():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for line in text.splitlines():
        # Comments and a second command after && are left out, as are lines with placeholders.
        command = line.split("#")[0].split("&&")[0].strip()
        if line.startswith("    wxr ") and "…" not in command:
            yield command


@pytest.mark.parametrize("command", _readme_commands())
def test_every_command_of_the_readme_is_understood(command):
    """Only parsed, not run: before, `wxr check -opt my.yml` was an error."""
    assert callable(cli.build_parser().parse_args(shlex.split(command)[1:]).func)


def test_a_missing_file_is_a_plain_line(capsys):
    assert cli.main(["zoo", "verify", "nothere.pth"]) == 2
    assert capsys.readouterr().err == "wxr zoo verify: nothere.pth: no such file or folder\n"
