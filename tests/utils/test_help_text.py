"""Layout of the help of commands."""

import argparse

import pytest

from wxr_plugin.utils.help_text import HelpFormatter

EXAMPLES = """examples:
  tool one      a comment
  tool another  a comment
"""


@pytest.fixture
def parser(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    return argparse.ArgumentParser(
        "tool", description="word " * 30, epilog=EXAMPLES, formatter_class=HelpFormatter
    )


def test_paragraphs_are_wrapped_and_examples_kept(parser):
    text = parser.format_help()
    assert max(map(len, text.splitlines())) <= 60
    assert EXAMPLES in text


def test_defaults_are_shown_once(parser):
    parser.add_argument("--number", type=int, default=0, help="number of tiles")
    parser.add_argument("--size", type=int, default=3, help="side (default: chosen)")
    parser.add_argument("--flag", action="store_true", help="switch")
    parser.add_argument("--name", help="name of a set")
    lines = parser.format_help().splitlines()
    assert [line for line in lines if "default" in line] == [
        "  --number NUMBER  number of tiles (default: 0)",
        "  --size SIZE      side (default: chosen)",
    ]


def test_commands_are_listed_without_their_placeholder(parser):
    actions = parser.add_subparsers(title="commands", metavar="COMMAND")
    actions.add_parser("benchmark", help="compare methods")
    assert "commands:\n  benchmark  " in parser.format_help()
