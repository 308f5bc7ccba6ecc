"""The progress bar and the two times of an iteration."""

import io
import logging
import time

from rich.console import Console

from wxr_plugin.models.base.progress import ProgressBar, StepClock


def test_the_bar_draws_on_a_terminal_only():
    logger = logging.getLogger("bar")
    assert ProgressBar.start(10, logger, Console(file=io.StringIO())) is None
    screen = io.StringIO()
    bar = ProgressBar.start(10, logger, Console(file=screen, force_terminal=True, width=120))
    bar.update(4, 0.25, 1e-3, 0.012, 0.34)
    assert list(bar.track([1, 2], 2, "validate pairs")) == [1, 2]
    bar.stop()
    bar.stop()
    assert (
        "4/10" in screen.getvalue()
        and "loss 0.25" in screen.getvalue()
        and "compute 340 ms" in screen.getvalue()
    )


def test_data_and_compute_time_are_told_apart():
    clock = StepClock()
    time.sleep(0.05)
    clock.batch()
    time.sleep(0.15)
    clock.done()
    time.sleep(0.2)  # a validation
    clock.wait()
    clock.batch()
    clock.done()
    data, compute = clock.read()
    assert 0.025 <= data < 0.06 and 0.075 <= compute < 0.11 and clock.read() == (0, 0)
