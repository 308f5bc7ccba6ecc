"""JSON of commands: alone on stdout, valid whatever the values."""

import json
import subprocess
from pathlib import Path

import pytest

from wxr_plugin.utils.json_output import json_result, print_json


def test_paths_and_missing_numbers_are_valid_json(capsys):
    print_json({"file": Path("a/b"), "mean": float("nan"), "rows": ["雨", 1, None]})
    values = json.loads(capsys.readouterr().out)
    assert values == {"file": "a/b", "mean": None, "rows": ["雨", 1, None]}


def test_everything_else_goes_to_stderr(capsys):
    with json_result(True) as result:
        print("loading")
        result["count"] = 2
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"count": 2} and captured.err == "loading\n"


def test_other_processes_print_to_stderr_too(capfd):
    with json_result(True) as result:
        subprocess.run(["echo", "training"], check=True)
        result["count"] = 2
    subprocess.run(["echo", "after"], check=True)
    captured = capfd.readouterr()
    assert "after" in captured.out and captured.out.count("count") == 1
    assert "training" not in captured.out and captured.err == "training\n"


def test_without_json_nothing_changes(capsys):
    with json_result(False) as result:
        print("loading")
        result["count"] = 2
    assert capsys.readouterr().out == "loading\n"


def test_an_error_prints_no_json(capsys):
    with pytest.raises(ValueError), json_result(True):
        raise ValueError
    assert capsys.readouterr().out == ""
