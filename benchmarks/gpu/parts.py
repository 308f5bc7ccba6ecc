"""The parts of the benchmark, the most important first, run as processes with deadlines."""

import argparse
import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.gpu import rows
from benchmarks.gpu.rows import Row

ROOT = Path(__file__).parents[2]
THREADS = {"OMP_WAIT_POLICY": "passive"}
"""Threads that wait give their core away, as in the Makefile."""
BUDGET = 480
"""Seconds for all parts; another budget scales their limits in proportion."""
LEAST = 15
"""Seconds below which a part is not started: the imports alone take half of them."""
RESERVE = 5
"""Seconds of the budget that are left for ending and writing."""
GRACE = 5
"""Seconds that a part gets beyond the deadline it knows of, before it is killed."""


class Part(NamedTuple):
    """Module of this package with a function `run(bench)`, and its limit in seconds of BUDGET."""

    name: str
    seconds: float


PARTS = (
    Part("machine", 30),
    Part("tests", 150),
    Part("rating", 90),
    Part("training", 80),
    Part("wresvlm", 90),
    Part("restoring", 90),
    Part("compiling", 180),
)


class Schedule:
    """Runs parts within the budget and collects their rows.

    Args:
        folder: an empty folder, which gets the rows of each part as they come, and its output.
        args: the command line.
    """

    def __init__(self, folder: Path, args: argparse.Namespace):
        self.folder, self.args = folder, args
        self.start = time.monotonic()
        self.rows: list[Row] = []
        self.chosen = [part for part in PARTS if part.name in args.parts]

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    @property
    def groups(self) -> list[list[Part]]:
        """Parts that share a process: all at tiny size, where imports dominate; otherwise none."""
        return [self.chosen] if self.args.size == "tiny" else [[part] for part in self.chosen]

    def run(self, group: list[Part]) -> None:
        """Run parts in one process until it ends or has to; what was measured until then counts."""
        names = ", ".join(part.name for part in group)
        limit = sum(part.seconds for part in group) * self.args.budget / BUDGET
        seconds = min(limit, self.args.budget - self.seconds - RESERVE)
        if seconds < LEAST:
            self._add(
                Row(
                    names,
                    "all",
                    "skipped",
                    note=f"the budget of {self.args.budget:.0f} s is used up",
                )
            )
            return
        print(f"{names}: at most {seconds:.0f} s", file=sys.stderr, flush=True)
        began = time.monotonic()
        failure = self._work(group, seconds)
        for part in group:
            for row in rows.read(rows_file(self.folder, part.name)):
                self._add(row)
        if failure:
            self._add(Row(names, "all", "failed", note=failure))
        print(f"{names}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    def _work(self, group: list[Part], seconds: float) -> str:
        """Run the parts' process; return why it ended early, or nothing."""
        log = self.folder / f"{group[0].name}.log"
        command, environment = self._command(group, seconds), THREADS | os.environ
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                return f"ended at its deadline of {seconds:.0f} s after: {_last_line(log)}"
            finally:
                _kill_group(process)
        return f"exit code {code}: {_last_line(log)}" if code else ""

    def _command(self, group: list[Part], seconds: float) -> list[str]:
        deadline = (
            time.monotonic() + seconds - GRACE
        )  # of the system's clock, which the process shares
        words = ["--worker", "--parts", *(part.name for part in group)]
        words += ["--deadline", str(deadline), "--folder", str(self.folder)]
        words += ["--size", self.args.size, "--device", self.args.device]
        return [sys.executable, "-m", "benchmarks.gpu", *words]

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        if row.status != "ok":
            print(f"  {row.status}: {row.name}: {row.note}", file=sys.stderr, flush=True)


def rows_file(folder: Path, part: str) -> Path:
    """Return where a part writes its rows."""
    return folder / f"{part}.jsonl"


def work(args: argparse.Namespace) -> int:
    """Run parts in this process; the exit code."""
    import torch

    from benchmarks.gpu.bench import Bench

    device = torch.device(args.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True  # as BasicSR's pipeline sets it
    for part in args.parts:
        folder = args.folder / part
        folder.mkdir()
        bench = Bench(
            part, device, args.size == "tiny", args.deadline, rows_file(args.folder, part), folder
        )
        importlib.import_module(f"benchmarks.gpu.{part}").run(bench)
    return 0


def _kill_group(process: subprocess.Popen) -> None:
    """End the process and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "no output"
