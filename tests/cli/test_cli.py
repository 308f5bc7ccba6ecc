"""The `wxr` command."""

import json
from pathlib import Path

import pytest
import torch
import toy_option_files
from toy_option_files import make_folders, problems

from wxr_plugin import train
from wxr_plugin.cli import main as cli
from wxr_plugin.cli import schema, schema_text

COMMANDS = {"train", "test", "restore", "lmdb", "label", "prompts", "demo", "check", "schema"}


@pytest.fixture
def root(tmp_path, monkeypatch):
    make_folders(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def opt(root):
    return toy_option_files.parse(toy_option_files.MSRRESNET, root)


def parsers() -> dict:
    actions = cli.build_parser()._subparsers._group_actions
    return dict(actions[0].choices)


def test_every_command_is_there():
    assert parsers().keys() >= COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_of_each_command_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    example = text[text.lower().rindex("example") :]
    assert any(program in example for program in (f"wxr {command}", f"-m wxr_plugin.{command}"))


def test_check_prints_every_problem_with_its_place(root, opt, capsys):
    opt["datasets"]["train"]["gt_siez"] = 8
    opt["network_g"]["type"] = "MSRResnet"
    problems(opt, root)
    assert cli.main(["check", "options.yml"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["datasets.train.gt_siez", "network_g.type"]
    assert all(line.startswith("options.yml:") for line in lines)


def test_check_takes_several_files_and_overrides(root, opt, capsys):
    problems(opt, root)
    (root / "no.yml").write_text("- 1\n")
    assert cli.main(["check", "options.yml", "no.yml", "missing.yml"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "options.yml: no problems\n"
    assert [line.split(":")[0] for line in printed.err.splitlines()] == ["no.yml", "missing.yml"]
    assert cli.main(["check", "options.yml", "--force_yml", "train:total_iter=0"]) == 2


@pytest.mark.parametrize("command", ["train", "test"])
def test_a_bad_file_starts_nothing(root, opt, command, capsys):
    opt["network_g"]["type"] = "MSRResnet"
    problems(opt, root)
    before = sorted(root.iterdir())
    assert cli.main([command, "-opt", "options.yml"]) == 2
    errors = capsys.readouterr().err
    assert (
        "did you mean MSRResNet?" in errors
        and "nothing was started" in errors
        and "Traceback" not in errors
    )
    assert sorted(root.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["train", "-opt", "nowhere.yml"], "nowhere.yml: no such file or folder"),
        (["restore", "nowhere.png", "-o", "out"], "nowhere.png: no such file or folder"),
        (["lmdb", "build", "nowhere", "out.lmdb"], "nowhere"),
    ],
)
def test_an_error_of_the_user_is_one_line(root, words, text, capsys):
    assert cli.main(words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and text in lines[0]


def test_schema_is_printed_written_and_found(root, capsys):
    assert cli.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(schema_text.text())
    assert cli.main(["schema", "--write", "mine.json"]) == 0
    assert Path("mine.json").read_text() == schema_text.text()
    assert cli.main(["schema", "--path"]) == 0
    assert Path(capsys.readouterr().out.strip().splitlines()[-1]).samefile(schema.SHIPPED)


def test_train_takes_a_stock_file_and_trains(root, opt):
    """`python -m wxr_plugin.train` and `wxr train` end with the same weights."""
    problems(toy_option_files.short(opt), root)
    assert train.main(["-opt", "options.yml", "--force_yml", "name=module"]) == 0
    assert cli.main(["train", "-opt", "options.yml", "--force_yml", "name=wxr"]) == 0
    files = [
        root / "experiments" / name / "models" / "net_g_latest.pth" for name in ("module", "wxr")
    ]
    first, second = (torch.load(file, weights_only=True)["params"] for file in files)
    assert first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )
