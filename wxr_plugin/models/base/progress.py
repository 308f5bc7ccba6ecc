"""Data time against compute time, and the progress bar of a training run."""

import atexit
import logging
import sys
import time
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class StepClock:
    """Mean seconds that an iteration waits for data and computes, since the last `read`.

    What else happens between two iterations (saving, validation) does not count: call `wait` after
    it. `last` holds the last iteration's seconds of (data, compute).
    """

    def __init__(self):
        self.data = self.compute = 0.0
        self.steps = 0
        self.last = (0.0, 0.0)
        self.wait()
        self.batch()

    def wait(self) -> None:
        """The model has nothing to do until the next batch comes."""
        self._since = time.perf_counter()

    def batch(self) -> None:
        """A batch came."""
        self._came = time.perf_counter()

    def done(self) -> None:
        """The iteration on the last batch is over."""
        self.last = self._came - self._since, time.perf_counter() - self._came
        self.data += self.last[0]
        self.compute += self.last[1]
        self.steps += 1
        self.wait()

    def read(self) -> tuple[float, float]:
        """Mean seconds of (data, compute) an iteration; then count anew."""
        steps = max(self.steps, 1)
        means = self.data / steps, self.compute / steps
        self.data = self.compute = 0.0
        self.steps = 0
        return means


class ProgressBar:
    """One bar for the run and one for the validation that is under way, below the log lines.

    It draws only on a terminal: `start` gives None elsewhere, so that log files and pipes get plain
    lines.

    Args:
        total: iterations of the run.
        console: where to draw.
    """

    current: "ProgressBar | None" = None
    """A terminal has room for one."""

    def __init__(self, total: int, console: Console):
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            refresh_per_second=4,
        )
        self.task = self.bar.add_task("train", total=total, note="")
        self.handlers: list[tuple[logging.StreamHandler, object]] = []

    @classmethod
    def start(
        cls, total: int, logger: logging.Logger, console: Console | None = None
    ) -> "ProgressBar | None":
        """A bar that is drawn from now on, with `logger`'s lines above it; None where there is no terminal."""
        console = console or Console(stderr=True)
        if not console.is_terminal:
            return None
        if cls.current:
            cls.current.stop()
        cls.current = bar = cls(total, console)
        original = sys.stderr
        bar.bar.start()
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is original:
                bar.handlers.append((handler, handler.setStream(sys.stderr)))
        atexit.register(bar.stop)
        return bar

    def update(self, iteration: int, loss: float, rate: float, data: float, compute: float) -> None:
        """Show where the run is; `data` and `compute` in seconds an iteration."""
        note = f"loss {loss:.4g}  lr {rate:.2e}  data {data * 1e3:.0f} ms  compute {compute * 1e3:.0f} ms"
        self.bar.update(self.task, completed=iteration, note=note)

    def track(self, items: Iterable, total: int, description: str) -> Iterator:
        """Yield `items` with a bar of their own, which vanishes after the last."""
        task = self.bar.add_task(description, total=total, note="")
        try:
            for item in items:
                yield item
                self.bar.advance(task)
        finally:
            self.bar.remove_task(task)

    def stop(self) -> None:
        """Give the terminal back; calling it again changes nothing."""
        self.bar.stop()
        for handler, stream in self.handlers:
            handler.setStream(stream)
        self.handlers.clear()
