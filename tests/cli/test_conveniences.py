"""Near names, -q and -v, both spellings of -opt, `wxr env`, completion, examples in every help."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import wxr_plugin
from wxr_plugin.cli import main as cli
from wxr_plugin.cli.completion import script, walk
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.commands import run_command
from wxr_plugin.utils.progress import progress_bar
from wxr_plugin.utils.verbosity import note, printing

REPOSITORY = Path(__file__).parents[2]
BASH = shutil.which("bash")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("restor a.jpg -o b", "did you mean restore"),
        ("zoo lst", "did you mean list"),
        ("restore a.jpg -o b --tiel 3", "did you mean --tile"),
        ("restore a.jpg -o b --format pgn", "did you mean png"),
        ("xyzzy", "known: train, test"),
    ],
)
def test_a_wrong_word_brings_the_nearest_right_one(line, words, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(line.split())
    assert left.value.code == 2 and words in capsys.readouterr().err


@pytest.mark.parametrize("spelling", ["-opt a.yml", "--opt a.yml", "--opt=a.yml", "-opt=a.yml"])
@pytest.mark.parametrize("command", ["train", "test", "benchmark", "wresvlm run", "restore x -o y"])
def test_both_spellings_of_opt_are_understood(command, spelling):
    args = cli.build_parser().parse_args([*command.split(), *spelling.split()])
    assert str(args.opt) == "a.yml"


@pytest.mark.parametrize("line", ["-q env", "env -q"])
def test_quiet_may_stand_before_or_after_the_command(line):
    assert cli.build_parser().parse_args(line.split()).quiet


def test_quiet_leaves_out_bars_and_notes(capsys):
    with printing(quiet=True):
        assert progress_bar().disable
        note("loading")
    assert capsys.readouterr().err == ""
    assert not progress_bar().disable
    note("loading")
    assert capsys.readouterr() == ("", "loading\n")


def test_verbose_adds_the_traceback_of_an_error(capsys):
    def job():
        raise WxrError("no network; give one")

    assert run_command("wxr restore", job) == 2
    assert capsys.readouterr().err == "wxr restore: no network; give one\n"
    with printing(verbose=True):
        assert run_command("wxr restore", job) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback") and err.endswith("wxr restore: no network; give one\n")


def test_every_help_has_an_example():
    commands = dict(walk(cli.build_parser()))
    assert {"wxr", "wxr zoo list", "wxr env", "wxr completion"} <= commands.keys()
    bare = [
        name
        for name, parser in commands.items()
        if "  wxr " not in (parser.epilog or "") + (parser.description or "")
    ]
    assert not bare


@pytest.mark.parametrize("flag", ["--json", "--dry-run"])
def test_every_json_and_dry_run_is_on_the_page_of_commands(flag):
    page = (REPOSITORY / "docs/commands.md").read_text(encoding="utf-8")
    commands = [name for name, parser in walk(cli.build_parser()) if flag in spellings(parser)]
    assert len(commands) > 10
    assert [name for name in commands if not named(name, page)] == []


def spellings(parser):
    return parser._option_string_actions


def named(command, page):
    """Return whether a page has the command in backticks, perhaps with options."""
    words = command.removeprefix("wxr ")
    return f"`{words}`" in page or f"`{words} --" in page


def test_env_names_versions_and_devices_as_text_and_as_json(capsys):
    assert cli.main(["env", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["system"]["wxr_plugin"] == wxr_plugin.__version__
    assert facts["packages"]["basicsr"] == "1.4.2" and "cpu" in facts["devices"]
    assert cli.main(["env"]) == 0
    text = capsys.readouterr().out
    assert "packages:" in text and facts["packages"]["torch"] in text


@pytest.mark.skipif(not BASH, reason="no bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["wxr", "res"], ["restore"]),
        (["wxr", "zoo", "li"], ["list"]),
        (["wxr", "restore", "--format", ""], ["png", "jpg", "webp", "same"]),
        (["wxr", "-q", "restore", "a.jpg", "--pre"], ["--precision"]),
        (["wxr", "restore", "rai"], ["rain.jpg"]),
    ],
)
def test_bash_completes(words, expected, tmp_path):
    (tmp_path / "rain.jpg").touch()
    lines = [
        script(cli.build_parser()),
        f"COMP_WORDS=({' '.join(repr(word) for word in words)})",
        f"COMP_CWORD={len(words) - 1}",
        "_wxr",
        'printf "%s\\n" "${COMPREPLY[@]}"',
    ]
    command = [BASH, "--norc", "-c", "\n".join(lines)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.split() == expected


def test_the_package_itself_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "wxr_plugin", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.strip() == f"wxr_plugin {wxr_plugin.__version__}"
