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
