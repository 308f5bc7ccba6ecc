"""`--json`: stdout is JSON and nothing else, with stable keys and unchanged exit codes."""

import json

import bench_files
import numpy as np
import pytest
import report_toys
import run_files
import yaml
from PIL import Image

from wxr_plugin.cli.main import main


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs `wxr … --json` in a folder with photos: exit code, values."""
    run_files.write_photos(tmp_path)
    run_files.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)

    def call(*words):
        capsys.readouterr()
        code = main([*map(str, words), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def test_check_lists_the_problems_of_each_file(run, tmp_path):
    options = yaml.safe_load((tmp_path / "supervised.yml").read_text())
    options["network_g"]["type"] = "RunNett"
    (tmp_path / "wrong.yml").write_text(yaml.safe_dump(options))
    assert run("check", "supervised.yml") == (0, [{"file": "supervised.yml", "problems": []}])
    code, (good, wrong, missing) = run("check", "supervised.yml", "wrong.yml", "none.yml")
    assert code == 2 and good["problems"] == []
    (problem,) = wrong["problems"]
    assert problem["key"] == "network_g.type" and problem["line"] > 0
    assert "RunNett" in problem["problem"] and "did you mean RunNet" in problem["fix"]
    (problem,) = missing["problems"]
    assert "none.yml" in problem["problem"] and problem["line"] is None


def test_ratings_have_statistics_and_rows(run):
    code, values = run("label", "rate", "photos/real")
    assert code == 0 and values["asked"] == 6 and values["failed"] == []
    assert values["count"] == sum(values["histogram"].values()) == 6
    assert 1 <= min(values["worst"].values()) <= values["mean"] <= max(values["best"].values()) <= 5
    code, rows = run("label", "show", values["store"])
    assert code == 0 and {row["kind"] for row in rows} == {"rating"} and len(rows) == 6


def test_a_vote_has_a_line_for_each_candidate(run):
    words = ["--restorers", "tiny", "--raters", "tiny", "tiny:quality", "--device", "cpu"]
    code, values = run("label", "init", "photos/real", *words)
    assert code == 0 and values["photos"] == 6 and values["failed"] == []
    rain = {line["method"]: line for line in values["summary"] if line["weather"] == "rain"}
    assert set(rain) == {"input", "tiny"} and set(rain["tiny"]["ratings"]) == {
        "tiny",
        "tiny:quality",
    }


def test_a_benchmark_has_its_means(run, tmp_path):
    file = bench_files.write(tmp_path, metrics=["psnr"])
    code, states = run("benchmark", "-opt", file, "--list")
    (net,) = [state for state in states if state["method"] == "net"]
    assert code == 0 and net["total"] == 4 and net["done"] == 0
    code, values = run("benchmark", "-opt", file)
    means = {row["method"]: row["metrics"]["psnr"] for row in values["results"]}
    assert code == 0 and set(means) == {"input", "net"} and means["input"] > 0
    assert values["failures"] == [] and values["report"] == f"{tmp_path}/out/report.html"


@pytest.mark.parametrize(("flag", "name"), [("--sets", "rain100h"), ("--metrics", "psnr")])
def test_what_a_benchmark_knows(run, flag, name):
    code, values = run("benchmark", flag)
    assert code == 0 and values[name]["title"]


def test_a_report_names_its_files(run, tmp_path):
    (tmp_path / "bench").mkdir()
    report_toys.write_benchmark(tmp_path / "bench")
    code, values = run("report", "bench", "--max-images", 1)
    assert code == 0 and values["html"] == "bench/report.html" and values["bytes"] > 1000


def test_the_stages_of_a_run(run):
    code, stages = run("wresvlm", "run", "-opt", "run.yml", "--list")
    assert code == 0 and stages[0]["state"] == "new" and stages[-1]["stage"] == "report"


def test_lmdbs_are_built_and_checked(run, tmp_path):
    code, values = run("lmdb", "build", "photos/gt", "gt.lmdb")
    assert code == 0 and values["images"] == 3 and values["already_built"] is False
    assert run("lmdb", "check", "gt.lmdb") == (0, {"lmdb": "gt.lmdb", "problems": []})
    with (tmp_path / "gt.lmdb/meta_info.txt").open("a") as listing:
        listing.write("gone.png (20,24,3) 1\n")
    code, values = run("lmdb", "check", "gt.lmdb")
    assert code == 1 and len(values["problems"]) == 1


def test_a_tree_of_degradations_has_its_numbers(run, tmp_path):
    for side in ("LQ", "GT"):
        folder = tmp_path / "tree/train/hazy" / side
        folder.mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "a.png")
    code, values = run("data", "degradations", "tree")
    (hazy,) = [row for row in values["degradations"] if row["pairs"]]
    assert code == 0 and (hazy["split"], hazy["degradation"]) == ("train", "hazy")
    (tmp_path / "tree/train/hazy/LQ/b.png").write_bytes(b"no image")
    code, values = run("data", "degradations", "tree")
    assert code == 1 and any(row["broken"] for row in values["degradations"])


def test_restorations_are_listed_with_failures(run, tmp_path):
    (tmp_path / "photos/lq/bad.png").write_bytes(b"no image")
    words = ["restore", "photos/lq", "-o", "out", "--checkpoint", "tiny", "--device", "cpu"]
    code, values = run(*words, "--dry-run")
    assert code == 0 and len(values["to_restore"]) == 4 and not (tmp_path / "out").exists()
    code, values = run(*words)
    assert code == 1 and len(values["restored"]) == 3
    assert values["restored"][0] == {"photo": "photos/lq/0.png", "result": "out/0.png"}
    (failed,) = values["failed"]
    assert failed["photo"] == "photos/lq/bad.png" and failed["error"]
    code, values = run(*words)
    assert code == 1 and len(values["existing"]) == 3


def test_prompts_have_cosines_and_accuracies(run):
    words = ["--synthetic", "photos/gt", "--crops", 1, "--crop-size", 32]
    code, values = run("prompts", "learn", *words, "--iterations", 2, "-o", "p.safetensors")
    assert code == 0 and 0 <= values["accuracy"]["all"] <= 1
    code, values = run("prompts", "check", "p.safetensors", *words)
    assert code == 0 and values["cosines"]["rain"]["rain"] == pytest.approx(1, abs=1e-3)
    assert values["views"] == 24 and values["clip"] == "tiny"
