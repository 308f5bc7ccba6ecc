"""`wxr hub push`, and what is pushed used by its reference."""

import io

import pytest
from experiment_toys import write_experiment
from hub_toys import forget, go_offline, local_hub, log_in

from wxr_plugin.cli.main import main
from wxr_plugin.data.images.io import read_image, write_image
from wxr_plugin.data.packaged_photos import packaged_photo
from wxr_plugin.inference.packaged import TINY


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Gives an empty hub on this machine, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    with local_hub(monkeypatch, tmp_path / "cache") as hub:
        yield hub


def run(capsys, *words):
    """Return exit code, output and errors of a command."""
    code = main(list(words))
    output = capsys.readouterr()
    return code, output.out, output.err


def test_a_pushed_network_restores_by_its_reference(hub, monkeypatch, capsys, tmp_path):
    log_in(monkeypatch)
    code, out, _ = run(capsys, "hub", "push", "tiny", "me/tiny", "--licence", "mit")
    assert code == 0 and "model.safetensors: " in out
    assert f"{hub.url}/me/tiny: commit {hub.repos['me/tiny'].branches['main']}" in out
    assert out.endswith("wxr restore PHOTOS -o OUT --checkpoint hf://me/tiny\n")
    write_image(tmp_path / "a.png", packaged_photo("chelsea")[:48, :48])
    for place, folder in (("tiny", "one"), ("hf://me/tiny", "two")):
        words = ("restore", "a.png", "-o", folder, "--checkpoint", place, "--device", "cpu")
        code, out, err = run(capsys, *words)
        assert code == 0, err
    assert "fetched hf://me/tiny@" in err and "licence mit" in err
    assert "running MSBDN (hf://me/tiny)" in out + err
    one, two = (read_image(tmp_path / folder / "a.png") for folder in ("one", "two"))
    assert (one == two).all()


def test_a_dry_run_writes_the_folder_and_sends_nothing(hub, capsys, tmp_path):
    write_experiment(tmp_path / "experiments" / "rain")
    words = ("hub", "push", "experiments/rain", "me/rain", "--dry-run", "--private")
    code, out, err = run(capsys, *words)
    assert code == 0 and hub.requests == []
    assert "would be sent to hf://me/rain (private); now in hub/rain" in out
    assert (tmp_path / "hub" / "rain" / "model.safetensors").is_file()
    assert "no licence is stated; add --licence mit" in err
    code, _, err = run(capsys, *words)
    assert code == 2 and "is there already; name another folder" in err


@pytest.mark.parametrize("answer, code", {"y": 0, "no": 2}.items())
def test_on_a_terminal_the_command_asks(hub, monkeypatch, capsys, answer, code):
    log_in(monkeypatch)
    hub.add("me/tiny", {"README.md": b"mine"})
    terminal = io.StringIO(f"{answer}\n")
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", terminal)
    words = ("-q", "hub", "push", "tiny", "me/tiny")
    returned, _, err = run(capsys, *words)
    assert "Replace README.md of hf://me/tiny? [y/N]" in err
    assert returned == code and (hub.files("me/tiny")["README.md"] == b"mine") == (code == 2)
    assert "%" not in err


def test_files_on_the_hub_are_replaced_only_when_asked_to(hub, monkeypatch, capsys):
    log_in(monkeypatch)
    hub.add("me/tiny", {"README.md": b"mine"})
    code, _, err = run(capsys, "hub", "push", "tiny", "me/tiny")
    assert code == 2 and "has README.md already; add --overwrite to replace them" in err
    assert hub.files("me/tiny") == {"README.md": b"mine"}
    code, _, _ = run(capsys, "hub", "push", "tiny", "me/tiny", "--overwrite")
    assert code == 0 and hub.files("me/tiny")["README.md"] != b"mine"


@pytest.mark.parametrize(
    "words, message",
    [
        (("hub", "push", "tiny", "tiny"), "not a repository of the hub; write OWNER/NAME"),
        (("hub", "push", "nothing.pth", "me/x"), "nothing.pth: no such file or folder"),
        (("hub", "push", "tiny", "me/x", "--licence", "??"), "take an identifier of the hub"),
        (("hub", "push", "tiny", "me/x", "--photo", "no.jpg"), "no.jpg"),
        (("hub", "push", "tiny", "me/x", "--benchmark", "b"), "b: no report.md with a table"),
        (("hub", "push", "tiny", "me/x"), "`hf auth login`, or set HF_TOKEN"),
        (("prompts", "check", "hf://me/none"), "no such repository, or a private one"),
        (("restore", "a.png", "-o", "out", "--checkpoint", "hf://rain"), "write hf://OWNER/NAME"),
        (("restore", "a.png", "-o", "out", "--checkpoint", "hf://me/none"), "check its name"),
    ],
)
def test_bad_input_is_one_line_and_code_2(hub, capsys, tmp_path, words, message):
    write_image(tmp_path / "a.png", packaged_photo("chelsea")[:48, :48])
    before = sorted(path.name for path in tmp_path.iterdir())
    code, _, err = run(capsys, *words)
    last = err.strip().splitlines()[-1]
    assert code == 2 and message in last and last.startswith("wxr ")
    after = sorted(path.name for path in tmp_path.iterdir() if path.name != "cache")
    assert after == before and hub.repos == {}


def test_a_model_can_be_fetched_ahead_for_later_offline_use(hub, monkeypatch, capsys, tmp_path):
    log_in(monkeypatch)
    run(capsys, "hub", "push", "tiny", "me/tiny", "--licence", "mit")
    code, out, _ = run(capsys, "models", "get", "hf://me/tiny")
    row = out.splitlines()[-1].split()
    assert code == 0 and row[0] == "hf://me/tiny" and row[-1] == "cached"
    go_offline(monkeypatch)
    forget()
    write_image(tmp_path / "a.png", packaged_photo("chelsea")[:48, :48])
    words = ("restore", "a.png", "-o", "out", "--checkpoint", "hf://me/tiny", "--device", "cpu")
    code, _, err = run(capsys, *words)
    assert code == 0, err


def test_files_on_the_hub_are_identified_and_converted(hub, capsys, tmp_path):
    hub.add("me/tiny", {"model.safetensors": TINY.read_bytes()})
    _, out, err = run(capsys, "zoo", "verify", "hf://me/tiny")
    assert "model.safetensors" in out + err and "no such file" not in err
    code, out, err = run(capsys, "zoo", "convert", "hf://me/tiny", "a.pth", "--to", "basicsr")
    assert code == 0 and (tmp_path / "a.pth").is_file(), err
    code, _, err = run(capsys, "zoo", "verify", "hf://me/none")
    assert code == 2 and "no such repository" in err
