"""The tests marked `gpu`, each a row: whether it passed, and its seconds."""

import pytest

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.parts import ROOT
from benchmarks.gpu.rows import TEST_UNIT, Row

FOLDER = ROOT / "tests" / "gpu"
TINY = ("-k", "test_gpu_training or test_gpu_restoring")
"""The quick half; `pytest tests/gpu --device cpu` runs all of them."""


def run(bench: Bench) -> None:
    """Run tests/gpu in this process; every result is kept as it comes."""
    options = [
        "-m",
        "gpu",
        "--device",
        str(bench.device),
        "-p",
        "no:cacheprovider",
        "--tb",
        "short",
    ]
    options += TINY if bench.tiny else ()
    code = pytest.main([str(FOLDER), *options], plugins=[Recorder(bench)])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        bench.add(Row(bench.part, "pytest", "failed", note=f"pytest ended with {code!r}"))


class Recorder:
    """Plug-in of pytest that turns results into rows and skips tests once the time is short."""

    def __init__(self, bench: Bench):
        self.bench = bench

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip a test that would begin after the deadline."""
        if self.bench.seconds_left < 0:
            pytest.skip("no time left")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the row of a test that is over, or that did not get to its call."""
        name = report.nodeid.rpartition("::")[2]
        if report.failed:
            self.bench.add(Row(self.bench.part, name, "failed", note=_error(report)))
        elif report.skipped:
            self.bench.add(Row(self.bench.part, name, "skipped", note=_why_skipped(report)))
        elif report.when == "call":
            self.bench.add(
                Row(self.bench.part, name, "ok", report.duration, TEST_UNIT, repetitions=1)
            )


def _error(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr)
    return f"{report.when}: {' '.join(text.split())}"[:300]


def _why_skipped(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
