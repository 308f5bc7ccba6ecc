"""Tables on a terminal and in a pipe."""

import re

import pytest

from wxr_plugin.utils.tables import plain_lines, print_histogram, print_pairs, print_table

LONG = "/data/" + "a" * 300 + "[red].png"


@pytest.fixture
def terminal(monkeypatch):
    """Let rich believe in a terminal of 60 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def pipe(monkeypatch):
    """Let rich write plain text, whatever the environment of the tests."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "60")


def test_a_pipe_gets_whole_lines_without_art(pipe, capsys):
    rows = [(LONG, ("1.5", "bold")), ("b", "12.25")]
    print_table(["file", "psnr"], rows, "Results", numbers=["psnr"])
    title, head, first, second = capsys.readouterr().out.splitlines()
    assert title == "Results" and head.split() == ["file", "psnr"]
    assert first == f"{LONG}    1.5" and second.split() == ["b", "12.25"]
    assert len(first) == len(second)  # the numbers end in one column


def test_a_terminal_gets_every_character_within_its_width(terminal, capsys):
    print_table(["file", "psnr"], [(LONG, ("1.5", "bold red"))], "Results", sections=True)
    out = capsys.readouterr().out
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()
    assert max(map(len, lines)) <= 60
    parts = re.findall(r"[\w/\[\].]+", " ".join(lines[3:]))
    assert "".join(parts).replace("1.5", "", 1) == LONG
    assert "\x1b[1;31m1.5" in out


def test_names_stay_whole_on_a_narrow_terminal(terminal, capsys):
    rows = [("griddehazenet-outdoor", "word " * 30, "yes")]
    print_table(["name", "licence", "here"], rows)
    assert "griddehazenet-outdoor" in capsys.readouterr().out


def test_no_color_removes_colours(terminal, monkeypatch, capsys):
    monkeypatch.setenv("NO_COLOR", "1")
    print_table(["file"], [(("a", "red"),)])
    assert "\x1b[31m" not in capsys.readouterr().out


def test_wide_characters_take_two_columns(pipe):
    assert plain_lines(["", ""], [("雨", "1"), ("rain", "2")]) == ["雨    1", "rain  2"]


def test_numbers_end_in_one_column(pipe):
    rows = [["rain", "*21.00"], ["all weathers", "9.00"]]
    assert plain_lines(["weather", "PSNR"], rows, ["PSNR"]) == [
        "weather         PSNR",
        "rain          *21.00",
        "all weathers    9.00",
    ]


def test_tables_without_headings_have_no_head(pipe, capsys):
    print_pairs([("torch", "2.0"), ("basicsr", "1.4.2")], "packages:")
    assert capsys.readouterr().out == "packages:\n  torch    2.0\n  basicsr  1.4.2\n"


def test_the_longest_bar_is_forty_characters_and_the_shortest_one(pipe, capsys):
    print_histogram([("1.0-1.5", 0), ("1.5-2.0", 1), ("2.0-2.5", 100)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.count("█") for line in lines] == [0, 1, 40]
    assert [line.split()[-1] for line in lines] == ["0", "1", "100"]
