"""A benchmark killed in restoring and in measuring ends as an uninterrupted one."""

import os
import signal
import subprocess
import sys
import time

import pytest
from bench_files import NETWORKS, TIMED, checkpoint, photos, rows, run, write

METRICS = ["psnr", "psnr_y", "ssim", "ssim_y", "piqe"]


def option_file(folder):
    folder.mkdir()
    methods = {
        name: {"checkpoint": checkpoint(folder / f"{name}.safetensors", net)}
        for name, net in NETWORKS.items()
    }
    methods |= {"input": None, "tiny": {"checkpoint": "tiny", "tile": 128, "overlap": 16}}
    return write(folder, methods=methods, sets={"photos": photos(folder, 3)}, metrics=METRICS)


def kill_when(file, happened):
    """Start the benchmark and end it at once when `happened()`."""
    log = (file.parent / "log.txt").open("a")
    command = [sys.executable, "-m", "wxr_plugin.cli.main", "benchmark", "-opt", str(file)]
    process = subprocess.Popen(command, stdout=log, stderr=log)
    deadline = time.monotonic() + 300
    while not happened():
        assert process.poll() is None and time.monotonic() < deadline, (
            file.parent / "log.txt"
        ).read_text()
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def lines(folder, method, tag):
    file = folder / f"out/cells/{method}/photos.jsonl"
    return file.read_text().count(f'"type":"{tag}"') if file.is_file() else 0


def _short(row):
    """Return the name of the restored file alone, as the two runs read different folders."""
    return {"restored": row["restored"].rpartition("/")[2]}


@pytest.mark.slow
def test_killed_and_resumed_gives_the_rows_of_an_uninterrupted_run(tmp_path):
    calm, killed = option_file(tmp_path / "calm"), option_file(tmp_path / "killed")
    assert run(calm) == 0

    work = killed.parent
    kill_when(killed, lambda: lines(work, "nafnet", "restored") >= 1)
    assert not (work / "out/rows.csv").exists() and not lines(work, "tiny", "restored")
    first = sorted((work / "out/images/msbdn").rglob("*.png"))
    stamps = [file.stat().st_mtime_ns for file in first]
    journal = work / "out/cells/nafnet/photos.jsonl"
    os.truncate(journal, journal.stat().st_size - 5)  # as if killed in the midst of a line
    kill_when(killed, lambda: lines(work, "tiny", "score") >= 1)
    assert run(killed) == 0

    assert [file.stat().st_mtime_ns for file in first] == stamps  # kept, not made again
    folders = ("lq", "gt")
    assert len(rows(calm.parent)) == 6 * 3 and all(
        row["piqe"] and not row["error"] for row in rows(calm.parent)
    )
    ours, theirs = rows(work, *TIMED, *folders), rows(calm.parent, *TIMED, *folders)
    assert [row | _short(row) for row in ours] == [row | _short(row) for row in theirs]
    for method in (*NETWORKS, "tiny"):
        ours, theirs = (
            sorted((folder / f"out/images/{method}").rglob("*.png"))
            for folder in (work, calm.parent)
        )
        contents = [file.read_bytes() for file in ours]
        assert contents and contents == [file.read_bytes() for file in theirs]
    assert (work / "out/sets.csv").read_text() == (calm.parent / "out/sets.csv").read_text()
