"""Environment of a part of the benchmark: device, size, time left, and a place for its rows."""

import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.gpu import rows
from benchmarks.gpu.rows import Row


class Figure(NamedTuple):
    """A median with its quartiles, as `Row` has them."""

    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    repetitions: int = 1
    peak_mib: float | None = None
    note: str = ""


class Timing(NamedTuple):
    """Seconds of each repetition of one piece of work."""

    seconds: list[float]
    peak_mib: float | None

    def milliseconds(self, note: str = "") -> Figure:
        """Return the median time in milliseconds."""
        return self._figure([value * 1e3 for value in self.seconds], "ms", note)

    def rate(self, amount: float, unit: str, note: str = "") -> Figure:
        """Return the median of `amount` of work a second; `unit` is for instance "photos/s"."""
        return self._figure([amount / value for value in self.seconds], unit, note)

    def seconds_figure(self, note: str = "") -> Figure:
        """Return the median time in seconds."""
        return self._figure(self.seconds, "s", note)

    def _figure(self, values: list[float], unit: str, note: str) -> Figure:
        pair = values if len(values) > 1 else values * 2  # quantiles need two
        low, median, high = statistics.quantiles(pair, n=4, method="inclusive")
        return Figure(median, unit, low, high, len(values), self.peak_mib, note)


class Bench:
    """One part's settings and rows.

    Args:
        part: name of the part.
        device: where everything is computed.
        tiny: use sizes that only show that everything runs.
        deadline: `time.monotonic()` at which the part has to end.
        file: JSON lines that get the rows.
        folder: an empty folder for the part's own files.
    """

    def __init__(
        self, part: str, device: torch.device, tiny: bool, deadline: float, file: Path, folder: Path
    ):
        self.part, self.device, self.tiny = part, device, tiny
        self.deadline, self.file, self.folder = deadline, file, folder

    @property
    def seconds_left(self) -> float:
        """Return the seconds until the deadline."""
        return self.deadline - time.monotonic()

    def add(self, row: Row) -> None:
        """Record a row and print it."""
        rows.append(self.file, row)
        print(row, flush=True)

    def case(self, name: str, measure: Callable[[], Figure], seconds: float = 5) -> Figure | None:
        """Add the row of `measure()`; an error becomes a failed row, None a row without a figure.

        `seconds` is its rough duration at full size; with less time left it is skipped.
        """
        needed = 0 if self.tiny else seconds
        if self.seconds_left < needed:
            note = f"needs about {needed:.0f} s, {max(self.seconds_left, 0):.0f} s are left"
            self.add(Row(self.part, name, "skipped", note=note))
            return None
        try:
            figure = measure()
        except Exception as error:  # one failure must not hide the other figures
            self.add(Row(self.part, name, "failed", note=reason(error)))
            return None
        finally:
            self.free()
        self.add(Row(self.part, name, **figure._asdict()))
        return figure

    def time(
        self,
        work: Callable[[], object],
        repetitions: int = 10,
        warmup: int = 2,
        longest: float = 10,
    ) -> Timing:
        """Time `work` after warm-up, each repetition with the device synchronised before and after.

        Stops after `longest` seconds, with at least three repetitions (at tiny size two).
        """
        repetitions = 2 if self.tiny else repetitions
        for _ in range(1 if self.tiny else warmup):
            work()
        self.synchronize()
        self.reset_peak()
        seconds: list[float] = []
        while len(seconds) < repetitions and (len(seconds) < 3 or sum(seconds) < longest):
            start = time.perf_counter()
            work()
            self.synchronize()
            seconds.append(time.perf_counter() - start)
        return Timing(seconds, self.peak_mib())

    def once(self, work: Callable[[], object]) -> Timing:
        """Time `work` a single time, without warm-up."""
        self.reset_peak()
        start = time.perf_counter()
        work()
        self.synchronize()
        return Timing([time.perf_counter() - start], self.peak_mib())

    def reset_peak(self) -> None:
        """Reset the peak of the device's memory."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def peak_mib(self) -> float | None:
        """Return the peak of device memory since the last reset, in MiB; None on a CPU."""
        return torch.cuda.max_memory_allocated() / 2**20 if self.device.type == "cuda" else None

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def free(self) -> None:
        """Give back memory that nothing refers to."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def reason(error: BaseException) -> str:
    """Return an error's type and text in one line of at most 300 characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
