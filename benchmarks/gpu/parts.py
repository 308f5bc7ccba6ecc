"""The parts of the benchmark, the most important first, each run by a process of its own until its deadline."""

import argparse
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
"""Seconds for everything; with another budget the limits of the parts grow or shrink in proportion."""
LEAST = 15
"""Seconds below which a part is not started: the imports alone take half of them."""
RESERVE = 5
"""Seconds of the budget that are left for ending and writing."""
GRACE = 5
"""Seconds that a part gets beyond the deadline it knows of, before it is killed."""


class Part(NamedTuple):
    """A module of this package with a function `run(bench)`, and the most seconds it may take of BUDGET."""

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

    def run(self, part: Part) -> None:
        """Run one part until it ends or has to; what it measured until then counts."""
        limit = part.seconds * self.args.budget / BUDGET
        seconds = min(limit, self.args.budget - self.seconds - RESERVE)
        if seconds < LEAST:
            self._add(Row(part.name, "all", "skipped", note=f"the budget of {self.args.budget:.0f} s is used up"))
            return
        print(f"{part.name}: at most {seconds:.0f} s", file=sys.stderr, flush=True)
        began = time.monotonic()
        failure = self._work(part, seconds)
        for row in rows.read(self._file(part)):
            self._add(row)
        if failure:
            self._add(Row(part.name, "all", "failed", note=failure))
        print(f"{part.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    def _work(self, part: Part, seconds: float) -> str:
        """Run the part's process; return why it ended early, or nothing."""
        log = self.folder / f"{part.name}.log"
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                self._command(part, seconds), cwd=ROOT, env=THREADS | os.environ, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                return f"ended at its deadline of {seconds:.0f} s after: {_last_line(log)}"
            finally:
                _kill_group(process)
        return f"exit code {code}: {_last_line(log)}" if code else ""

    def _command(self, part: Part, seconds: float) -> list[str]:
        deadline = time.monotonic() + seconds - GRACE  # of the system's clock, which the process shares
        words = ["--worker", part.name, "--deadline", str(deadline), "--folder", str(self.folder)]
        words += ["--size", self.args.size, "--device", self.args.device]
        return [sys.executable, "-m", "benchmarks.gpu", *words]

    def _file(self, part: Part) -> Path:
        return self.folder / f"{part.name}.jsonl"

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        if row.status != "ok":
            print(f"  {row.status}: {row.name}: {row.note}", file=sys.stderr, flush=True)


def work(args: argparse.Namespace) -> int:
    """Run one part in this process; the exit code."""
    import torch

    from benchmarks.gpu.bench import Bench

    folder = args.folder / args.worker
    folder.mkdir()
    device = torch.device(args.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True  # as BasicSR's pipeline sets it
    file = args.folder / f"{args.worker}.jsonl"
    bench = Bench(args.worker, device, args.size == "tiny", args.deadline, file, folder)
    importlib.import_module(f"benchmarks.gpu.{args.worker}").run(bench)
    return 0


def _kill_group(process: subprocess.Popen) -> None:
    """End the process and all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "no output"
