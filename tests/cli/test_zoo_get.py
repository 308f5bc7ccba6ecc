"""`wxr zoo get`, and `--download` of `wxr restore` and `wxr benchmark`, as a user calls them."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image
from published_files import offer

from wxr_plugin.cli.main import main
from wxr_plugin.zoo.download import http
from wxr_plugin.zoo.rows import rows

ROW = "griddehazenet-indoor"
OFFICIAL = "indoor_haze_best_3_6"
WEIGHTS = "experiments/pretrained_models"


class Terminal(io.StringIO):
    """Standard input of a user who has typed something."""

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """Work in an empty folder without pauses between attempts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(http, "PAUSE", 0.0)
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.fixture
def published(site, tmp_path, monkeypatch):
    """Serve the row's file at its only address, and return the file's path there."""
    return offer(site, monkeypatch, ROW, OFFICIAL, tmp_path / "published")


@pytest.fixture
def run(capsys):
    """Return a function that runs `wxr` and returns exit code, stdout and stderr."""

    def call(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_the_dry_run_names_everything_and_connects_to_nothing(run, site, tmp_path):
    code, out, _ = run("zoo", "get", "gcanet-dehaze", "mwdt", "jorder-e-rain-heavy", "--dry-run")
    assert code == 0 and site.requests == [] and list(tmp_path.iterdir()) == []
    assert "models/wacv_gcanet_dehaze.pth: GCANet, 2.8 MB" in out
    assert "sha256   960c0967" in out and "licence  none; research purposes only" in out
    assert f"to       {WEIGHTS}/checkpoints/domain3.pth" in out
    assert "from     https://github.com/cddlyf/GCANet/raw/" in out
    assert "ask      https://github.com/flyywh/JORDER-E" in out and "6 files to fetch" in out
    code, out, _ = run("zoo", "get", "gcanet-dehaze", "--dry-run", "--json")
    (file,) = json.loads(out)["files"]
    assert file["sha256"].startswith("960c0967") and file["from"][0].startswith("https://")
    assert file["to"] == f"{WEIGHTS}/models/wacv_gcanet_dehaze.pth"
    code, out, _ = run("zoo", "get", "--all-of", "desnow", "--dry-run")
    files = {row.file for row in rows().values() if row.task == "desnow"}
    of_task = files - {None}  # None: a row with several files
    assert code == 0 and of_task <= {line.split(":")[0] for line in out.splitlines()}


def test_a_licence_needs_a_yes(run, published, monkeypatch):
    code, _, err = run("zoo", "get", ROW)
    assert code == 2 and "GridDehazeNet: MIT by the README" in err
    assert "add --accept-licence" in err and published.requests == []
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    code, _, err = run("zoo", "get", ROW)
    assert code == 2 and "[y/N]" in err and "was not accepted; nothing was fetched" in err
    assert published.requests == []
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    code, _, err = run("zoo", "get", ROW)
    assert code == 0 and f"{WEIGHTS}/{OFFICIAL}: " in err and f"fits {ROW}, SHA-256 recorded" in err
    code, out, err = run("zoo", "get", ROW)
    assert code == 0 and "(here)" in out and "licence" not in err and len(published.requests) == 1


def test_a_file_that_has_changed_here_is_reported(run, published, tmp_path):
    assert run("zoo", "get", ROW, "--accept-licence")[0] == 0
    (tmp_path / WEIGHTS / OFFICIAL).write_bytes(b"other")
    code, _, err = run("zoo", "get", ROW)
    assert code == 2 and "has changed since it arrived" in err


def test_what_does_not_arrive_is_listed_and_the_rest_is_fetched(run, published, tmp_path):
    code, _, err = run(
        "zoo", "get", "griddehazenet-outdoor", ROW, "--accept-licence", "--folder", "elsewhere"
    )
    assert code == 1 and (tmp_path / "elsewhere" / OFFICIAL).is_file()
    (line,) = [line for line in err.splitlines() if line.startswith("wxr zoo get")]
    assert "outdoor_haze_best_3_6: the authors publish no such file" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to get: name a method"),
        (["restormer"], "restormer has the variants restormer-derain"),
        (["--all-of", "drain"], "--all-of drain: none; there are all-in-one, deblur"),
        ([ROW, "--mirrors", "none.yml"], "none.yml: no such file; a table of mirrors"),
    ],
)
def test_mistakes_are_one_line(run, published, words, message):
    code, _, err = run("zoo", "get", *words)
    assert code == 2 and message in err and len(err.splitlines()) == 1


def test_offline_fetches_nothing(run, published, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, _, err = run("zoo", "get", ROW, "--accept-licence")
    assert code == 2 and f"offline, and these files are not here: {OFFICIAL}" in err
    assert published.requests == []


def test_restore_downloads_only_when_it_is_asked_to(run, published, tmp_path):
    photo = tmp_path / "a.png"
    Image.fromarray(np.full((16, 16, 3), 99, np.uint8)).save(photo)
    restore = ["restore", photo, "-o", "out", "--method", ROW, "--device", "cpu"]
    code, _, err = run(*restore)
    assert code == 2 and f"with `wxr zoo get {ROW}`" in err and published.requests == []
    code, _, err = run(*restore, "--accept-licence")
    assert code == 2 and "--accept-licence has no effect without --download" in err
    code, _, err = run(*restore, "--download")
    assert code == 2 and "add --accept-licence" in err and published.requests == []
    code, out, _ = run(*restore, "--download", "--accept-licence")
    assert code == 0 and "1 photo restored" in out and (tmp_path / "out/a.png").is_file()
    code, _, err = run("restore", photo, "-o", "other", "--download")
    assert code == 2 and "--download is for the weights of a --method" in err


def test_a_benchmark_downloads_its_published_methods(run, published, tmp_path):
    (tmp_path / "b.yml").write_text(
        f"name: b\nmethods: {{a: {{method: {ROW}}}, b: {{checkpoint: tiny}}, Input: }}\n"
        "sets: {s: {lq: nowhere}}\nmetrics: {niqe: }\n"
    )
    code, _, err = run("benchmark", "-opt", "b.yml", "--list")
    assert code == 2 and published.requests == []
    code, _, err = run("benchmark", "-opt", "b.yml", "--list", "--download", "--accept-licence")
    assert code == 2 and "nowhere" in err  # the set is still missing
    assert (tmp_path / WEIGHTS / OFFICIAL).is_file()
