"""`python -m benchmarks.gpu` runs to its end on a CPU, within its budget, despite any failure."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import parts, rows
from benchmarks.gpu.bench import Bench, Figure
from benchmarks.gpu.rows import TEST_UNIT, Row

ROOT = Path(__file__).parents[2]


def command(*words):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def bench(tmp_path):
    return Bench(
        "part", torch.device("cpu"), False, time.monotonic() + 60, tmp_path / "rows.jsonl", tmp_path
    )


@pytest.fixture
def schedule(tmp_path):
    """Make a Schedule of the parts whose modules have these names."""

    def make(*names, budget=480.0, size="full"):
        args = argparse.Namespace(size=size, device="cpu", budget=budget, parts=names)
        made = parts.Schedule(tmp_path, args)
        made.chosen = [parts.Part(name, 60) for name in names]
        return made

    return make


@pytest.mark.slow
def test_everything_runs_on_a_cpu_at_tiny_size(tmp_path):
    """The budget only has to suffice on a machine that does other things as well."""
    file = tmp_path / "gpu.json"
    done = command("--device", "cpu", "--size", "tiny", "--budget", 4800, "-o", file)
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads(file.read_text())
    assert content["size"] == "tiny" and content["device"]["type"] == "cpu"
    assert content["versions"]["torch"] == torch.__version__
    made = [Row(**row) for row in content["rows"]]
    in_order = list(dict.fromkeys(row.part for row in made))
    assert in_order == [part.name for part in parts.PARTS]
    assert not [row for row in made if row.status == "failed"]
    for row in made:
        assert row.status == "skipped" or (row.value > 0 and row.unit and row.repetitions)
    for words in (
        "rate(), batch",
        "rating in another process",
        "NAFNet, SRModel, float32",
        "spandrel in a loop",
    ):
        assert any(words in row.name for row in made) and words in done.stdout
    shares = [row.note for row in made if row.part == "wresvlm"][1:]
    assert all("rating is" in note and "images rated a step" in note for note in shares)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_what_to_do():
    done = command()
    assert (
        done.returncode == 2
        and "--device cpu --size tiny" in done.stderr
        and "Traceback" not in done.stderr
    )


def test_a_part_that_does_not_fit_into_the_budget_is_skipped(schedule):
    made = schedule("machine", budget=10)
    made.run(made.chosen)
    assert [(row.part, row.status) for row in made.rows] == [("machine", "skipped")]
    assert "10 s" in made.rows[0].note


def test_a_part_that_hangs_is_ended_and_its_rows_are_kept(schedule, monkeypatch):
    """Processes that the part has started are ended with it."""
    made = schedule("machine", budget=480)
    rows.append(parts.rows_file(made.folder, "machine"), Row("machine", "early", "ok", 1.0, "s"))
    program = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True)"
    child = f"{program}; import time; time.sleep(600)"
    monkeypatch.setattr(made, "_command", lambda group, seconds: [sys.executable, "-c", child])
    monkeypatch.setattr(parts, "LEAST", 0)
    made.args.budget = 8 + parts.RESERVE
    made.run(made.chosen)
    assert [(row.name, row.status) for row in made.rows] == [("early", "ok"), ("all", "failed")]
    assert "deadline" in made.rows[1].note
    sleeper = Path(f"/proc/{(made.folder / 'machine.log').read_text().split()[0]}/status")
    limit = time.monotonic() + 10  # a killed process may run for a moment longer
    while _is_running(sleeper) and time.monotonic() < limit:
        time.sleep(0.1)
    assert not _is_running(sleeper)


def _is_running(status: Path) -> bool:
    try:
        return "\nState:\tZ" not in status.read_text()
    except OSError:
        return False


def test_a_part_that_crashes_is_a_failed_row(schedule, monkeypatch):
    made = schedule("machine")
    monkeypatch.setattr(
        made, "_command", lambda *_: [sys.executable, "-c", "raise SystemExit('no kernel image')"]
    )
    made.run(made.chosen)
    assert made.rows[0].status == "failed" and "no kernel image" in made.rows[0].note


def test_a_case_that_fails_or_has_no_time_left_is_a_row(bench):
    def fail():
        raise RuntimeError("CUDA error:\n an illegal memory access")

    assert bench.case("good", lambda: Figure(2.0, "ms")).value == 2
    assert bench.case("bad", fail) is None
    assert bench.case("long", fail, seconds=100) is None
    made = rows.read(bench.file)
    assert [row.status for row in made] == ["ok", "failed", "skipped"]
    assert made[1].note == "RuntimeError: CUDA error: an illegal memory access"
    assert "100 s" in made[2].note


def test_a_time_is_the_median_of_the_repetitions_after_warm_up(bench, monkeypatch):
    clock = iter([0, 5, 10, 11, 20, 22, 30, 33])
    monkeypatch.setattr("benchmarks.gpu.bench.time.perf_counter", lambda: next(clock))
    calls = []
    figure = bench.time(lambda: calls.append(1), repetitions=4, warmup=3).milliseconds()
    assert len(calls) == 7 and figure.repetitions == 4
    assert (figure.value, figure.low, figure.high) == (2500, 1750, 3500)


def test_a_row_that_was_cut_off_is_left_out(tmp_path):
    file = tmp_path / "rows.jsonl"
    rows.append(file, Row("part", "whole"))
    with file.open("a") as lines:
        lines.write('{"part": "pa')
    assert rows.read(file) == [Row("part", "whole")]
    assert rows.read(tmp_path / "none.jsonl") == []


def test_the_table_counts_tests_that_passed_and_lists_the_others():
    passed = [
        Row("tests", f"test_a[{name}]", "ok", 2.0, TEST_UNIT, repetitions=1) for name in "xyz"
    ]
    text = rows.table(
        [
            *passed,
            Row("tests", "test_a[w]", "failed", note="it | broke"),
            Row("rating", "b", "ok", 1.0),
        ]
    )
    lines = text.splitlines()
    assert len(lines) == 5
    assert "| tests | test_a | 6 | s, test |  | 3 |" in lines[2]
    assert "test_a[w]" in lines[3] and "failed: it \\| broke" in lines[3]
