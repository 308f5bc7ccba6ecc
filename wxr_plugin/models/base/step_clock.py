"""Measurement of the data time and the compute time of training iterations."""

import time


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
        """Start to measure the wait for the next batch."""
        self._since = time.perf_counter()

    def batch(self) -> None:
        """End the wait for data: a batch has arrived."""
        self._came = time.perf_counter()

    def done(self) -> None:
        """Add the times of the iteration on the last batch, and start to wait for the next one."""
        self.last = self._came - self._since, time.perf_counter() - self._came
        self.data += self.last[0]
        self.compute += self.last[1]
        self.steps += 1
        self.wait()

    def read(self) -> tuple[float, float]:
        """Return the mean seconds of (data, compute) an iteration, and start from zero again."""
        steps = max(self.steps, 1)
        means = self.data / steps, self.compute / steps
        self.data = self.compute = 0.0
        self.steps = 0
        return means
